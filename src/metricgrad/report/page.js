/* Draws the plots of the page from the JSON beside each, and draws them anew for paper. */
(() => {
  const config = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  const canvases = [];
  for (const source of document.querySelectorAll("script[data-figure]")) {
    const canvas = document.getElementById(source.dataset.figure);
    const figure = JSON.parse(source.textContent);
    canvases.push(canvas);
    Plotly.newPlot(canvas, figure.data, figure.layout, config);
  }
  const resize = (root) => canvases.filter((c) => root.contains(c) && c.offsetParent).forEach((c) => Plotly.Plots.resize(c));
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", () => details.open && resize(details));
  }
  const closed = [];
  // Paper has another width than the screen, and its layout comes after this event: sizes are set by hand.
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      closed.push(details);
    }
    for (const canvas of canvases) canvas.style.width = canvas.closest(".even") ? "330px" : "670px";
    resize(document);
  });
  window.addEventListener("afterprint", () => {
    for (const canvas of canvases) canvas.style.width = "";
    resize(document);
    closed.splice(0).forEach((details) => (details.open = false));
  });
})();
