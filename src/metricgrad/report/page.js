/* Sorts and filters tables, saves tables as CSV and figures as SVG, opens what is folded for paper. Without it the
   page is complete: every table is in its order, every figure drawn. */
(() => {
  const make = (tag, given = {}) => Object.assign(document.createElement(tag), given);
  const save = (name, kind, text) => {
    const address = URL.createObjectURL(new Blob([text], { type: kind }));
    make("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  };
  const fileName = (text, end) => `${text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-|-$/g, "") || "table"}.${end}`;
  const small = (cell) => [...cell.querySelectorAll("small")].map((e) => e.textContent).join(" ").trim();
  const main = (cell) => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll("small").forEach((e) => e.remove());
    return copy.textContent.replace(/\s+/g, " ").trim();
  };

  /* The number that a cell begins with, times in seconds; null for what has none. */
  const valueOf = (text) => {
    const time = text.match(/^(?:(\d+) h ?)?(?:(\d+) min ?)?(?:([\d.]+) s)?$/);
    if (text && time) return 3600 * (time[1] || 0) + 60 * (time[2] || 0) + 1 * (time[3] || 0);
    const found = text.replace(/\u2212/g, "-").match(/^\[?([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)/i);
    return found ? parseFloat(found[1].replace(/,/g, "")) : null;
  };

  const sortable = (table, status) => {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], first = [...body.rows];
    const reading = new Map(first.map((row) => [row, [...row.cells].map((cell) => main(cell))]));
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" });
      button.append(...head.childNodes);
      if (!button.textContent.trim()) return;
      head.append(button);
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const numeric = first.some((row) => valueOf(reading.get(row)[column] || "") !== null);
        const begin = numeric ? "descending" : "ascending", other = numeric ? "ascending" : "descending";
        const next = now === begin ? other : now === other ? null : begin;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const sign = next === "descending" ? -1 : 1;
        const order = first.map((row, place) => {
          const text = reading.get(row)[column] || "";
          return { row, place, text, value: valueOf(text) };
        });
        if (next) order.sort((a, b) => {
          if (numeric && (a.value === null || b.value === null)) return (a.value === null) - (b.value === null) || a.place - b.place;
          const apart = numeric ? a.value - b.value : a.text.localeCompare(b.text, "en", { numeric: true });
          return sign * apart || a.place - b.place;
        });
        body.append(...order.map((each) => each.row));
        status.textContent = next ? `sorted by ${button.textContent.trim()}, ${next}` : "in the first order";
      });
    });
  };

  const filterable = (table, tools, status, label) => {
    const rows = [...table.tBodies[0].rows], field = make("input", { type: "search", autocomplete: "off" });
    const holder = make("label", { textContent: "Filter " });
    field.setAttribute("aria-label", `Filter ${label}`);
    holder.append(field);
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
      status.textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
    });
    tools.prepend(holder);
  };

  /* A cell for other programs: quoted where it must be, and never a formula. */
  const quoted = (text) => {
    const safe = /^[=@\t\r+-]/.test(text) && valueOf(text) === null ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  const csv = (table) => {
    const rows = [table.tHead.rows[0], ...[...table.tBodies[0].rows].filter((row) => !row.hidden)];
    const noted = [...rows[0].cells].map((_, column) => rows.some((row) => row.cells[column] && small(row.cells[column])));
    const line = (row, head) => [...row.cells].flatMap((cell, column) =>
      noted[column] ? [main(cell), head ? `${main(cell)} (more)` : small(cell)] : [main(cell)]);
    return rows.map((row, place) => line(row, place === 0).map(quoted).join(",")).join("\r\n") + "\r\n";
  };

  for (const holder of document.querySelectorAll("[data-table]")) {
    const table = holder.querySelector("table"), label = holder.getAttribute("aria-label") || holder.dataset.table;
    if (!table.tBodies[0].rows.length) continue;
    const tools = make("div", { className: "tools" }), status = make("span", { role: "status" });
    const button = make("button", { type: "button", textContent: "Save CSV" });
    button.setAttribute("aria-label", `Save CSV: ${label}`);
    button.addEventListener("click", () => save(fileName(holder.dataset.table, "csv"), "text/csv", csv(table)));
    tools.append(button, status);
    if (table.tBodies[0].rows.length > 1) sortable(table, status);
    if (table.tBodies[0].rows.length >= 8) filterable(table, tools, status, label);
    if (holder.matches(".sheet")) holder.prepend(tools);
    else holder.before(tools);
  }

  /* A figure as a file: its colours and letters, which the page's style gives it, written into it. */
  const kept = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "paint-order"];
  const standalone = (svg) => {
    const copy = svg.cloneNode(true), from = [svg, ...svg.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
    from.forEach((element, place) => {
      if (element.matches("title, desc, clipPath, clipPath *")) return;
      const style = getComputedStyle(element);
      for (const name of kept) to[place].style.setProperty(name, style.getPropertyValue(name));
    });
    copy.style.background = getComputedStyle(svg.closest("section") || document.body).backgroundColor;
    return new XMLSerializer().serializeToString(copy);
  };
  for (const figure of document.querySelectorAll("figure.plot")) {
    const tools = make("div", { className: "tools" }), button = make("button", { type: "button", textContent: "Save SVG" });
    const seen = () => [...figure.querySelectorAll("svg.drawn")].find((svg) => svg.getClientRects().length) || figure.querySelector("svg.drawn");
    button.setAttribute("aria-label", `Save SVG: ${figure.querySelector("title").textContent}`);
    button.addEventListener("click", () => save(fileName(figure.id, "svg"), "image/svg+xml", standalone(seen())));
    tools.append(button);
    figure.append(tools);
  }

  for (const command of document.querySelectorAll("pre.command")) {
    const tools = make("div", { className: "tools" }), button = make("button", { type: "button", textContent: "Copy" });
    const status = make("span", { role: "status" });
    button.setAttribute("aria-label", "Copy the command");
    button.addEventListener("click", () => {
      getSelection().selectAllChildren(command);
      const done = navigator.clipboard ? navigator.clipboard.writeText(command.textContent) : Promise.reject();
      done.then(() => (status.textContent = "copied"), () => (status.textContent = "selected: copy it with the keyboard"));
    });
    tools.append(button, status);
    command.after(tools);
  }

  const closed = [];
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      details.open = true;
      closed.push(details);
    }
  });
  window.addEventListener("afterprint", () => closed.splice(0).forEach((details) => (details.open = false)));
})();
