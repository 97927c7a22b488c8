"""How far every piece of text of a page stands out from what is behind it, by the formula of WCAG 2."""

CONTRASTS = """(() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
      .getContext("2d", { willReadFrequently: true });
  const parse = (colour) => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (ink, paper) => ink.slice(0, 3).map((v, i) => v * ink[3] + paper[i] * (1 - ink[3]));
  const light = (colour) => { const [r, g, b] = colour.map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const paper = (e) => e ? over(parse(getComputedStyle(e).backgroundColor), paper(e.parentElement)) : [255, 255, 255];
  const faint = (e) => e ? getComputedStyle(e).opacity * faint(e.parentElement) : 1;
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || e.closest("script, style, noscript") || !e.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(e), back = paper(e), ink = parse(e.closest("svg") ? style.fill : style.color);
    ink[3] *= faint(e);
    const [dark, bright] = [light(over(ink, back)), light(back)].sort((a, b) => a - b);
    if (ink[3] > 0) found.push([text.slice(0, 40), (bright + 0.05) / (dark + 0.05)]);
  }
  return found; })()"""
"""JavaScript: a list of the beginning of each text with its contrast. What is transparent is no text."""
