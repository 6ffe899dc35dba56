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
  const names = heads.map((head) => head.textContent);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(column));
    head.append(button);
  });
  const show = (column, on) => {
    for (const row of [table.tHead.rows[0], ...rows]) row.cells[column].hidden = !on;
  };
  const few = matchMedia("(max-width: 40rem)").matches;
  const choice = document.createElement("details"), set = document.createElement("fieldset"), boxes = [];
  choice.append(document.createElement("summary"), set);
  choice.firstChild.textContent = "Choose columns";
  set.append(document.createElement("legend"));
  set.firstChild.textContent = "Columns shown";
  const add = (text, checked, change) => {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.checked = checked;
    box.addEventListener("change", () => change(box.checked));
    label.append(box, " ", text);
    set.append(label);
    return box;
  };
  add("all", !few, (on) => boxes.forEach(([box, column]) => { box.checked = on; show(column, on); }));
  heads.forEach((head, column) => {
    if (!column) return;
    const on = !few || "main" in head.dataset;
    boxes.push([add(names[column], on, (now) => show(column, now)), column]);
    show(column, on);
  });
  table.closest(".scroll").before(choice);
}
