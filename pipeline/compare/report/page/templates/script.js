"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const value = (row, column) => {
    const text = row.cells[column].dataset.v ?? (column ? null : row.cells[0].textContent);
    return text === null || text === "" || isNaN(text) ? text : Number(text);
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en");
  const sort = (column) => {
    const up = heads[column].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    const known = rows.filter((row) => value(row, column) !== null);
    const unknown = rows.filter((row) => value(row, column) === null);
    known.sort((a, b) => (up ? 1 : -1) * compare(value(a, column), value(b, column)));
    body.append(...known, ...unknown);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
}
