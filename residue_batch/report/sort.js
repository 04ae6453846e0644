"use strict";
(() => {
  const table = document.getElementById("boards");
  if (!table) return;
  const body = table.tBodies[0], rows = Array.from(body.rows);
  const value = (cell) => {
    if (cell.dataset.v === undefined) return cell.textContent.trim();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
  const heads = table.querySelectorAll("thead th");
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = rows.map((row) => [value(row.cells[at]), row]);
      // boards without a number stay last, whichever way
      keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : (down ? -1 : 1) * compare(a, b));
      body.append(...keyed.map(([, row]) => row));
    });
  });
  const label = document.createElement("label"), box = document.createElement("input");
  label.className = "filter";
  box.type = "search";
  label.append("Show only rows with ", box);
  document.getElementById("filter").append(label);
  box.addEventListener("input", () => {
    const wanted = box.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
  });
})();
