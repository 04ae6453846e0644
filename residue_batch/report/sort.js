"use strict";
(() => {
  const table = document.getElementById("boards");
  if (!table) return;
  const body = table.tBodies[0], rows = Array.from(body.rows);
  const value = (row, at) => row.cells[at].dataset.v ?? row.cells[at].textContent.trim();
  const compare = (a, b) => {
    const x = parseFloat(a), y = parseFloat(b), nx = a === "", ny = b === "";
    if (nx || ny) return nx - ny;
    return String(x) === a && String(y) === b ? x - y : a.localeCompare(b, "en", { numeric: true });
  };
  table.querySelectorAll("thead th").forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => {
        const x = value(a, at), y = value(b, at);
        return x === "" || y === "" ? compare(x, y) : (down ? -1 : 1) * compare(x, y);
      });
      body.append(...rows);
    });
  });
  const label = document.createElement("label"), box = document.createElement("input");
  label.className = "filter";
  box.type = "search";
  label.append("Show boards with ", box);
  table.before(label);
  box.addEventListener("input", () => {
    const wanted = box.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
  });
})();
