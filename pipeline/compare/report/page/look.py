"""The page's style and script: both stand in the page itself, which loads nothing.

The script only adds: sort buttons to the headings of `table.sortable`, and a choice of columns. Without it all is there.
"""

STYLE = """
:root { color-scheme: light dark; --line: #8886; --mark: #0072b226; --wrong: #c2410c; --less: #595959 }
@media (prefers-color-scheme: dark) { :root { --wrong: #fdba74; --less: #b5b5b5 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin-top: 2.5rem } h3 { font-size: 1rem }
.lead { font-size: 1.1rem } .less, caption, figcaption { color: var(--less) }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; list-style: none }
nav a { display: block; padding: .3rem 0 }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; padding: 0; list-style: none }
.cards li { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem }
.cards b { display: block; font-size: 1.35rem }
.scroll { overflow-x: auto; margin: .75rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem }
caption { text-align: left; padding: .3rem 0; position: sticky; left: 0; width: min(100%, calc(100vw - 2rem)) }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { vertical-align: bottom } tbody th { font-weight: normal; vertical-align: top }
th:first-child { text-align: left; position: sticky; left: 0; background: Canvas; border-right: 1px solid var(--line) }
.texts td, .texts th { text-align: left; vertical-align: top; white-space: normal; min-width: 7rem }
tr.champion td { background: var(--mark) } tr.champion th { font-weight: bold }
th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0; padding: .4rem 0; cursor: pointer }
th button::after { content: " \\2195"; opacity: .6 }
th[aria-sort=ascending] button::after { content: " \\2191"; opacity: 1 }
th[aria-sort=descending] button::after { content: " \\2193"; opacity: 1 }
.bar { display: block; height: .25rem; margin-left: auto; background: #5a7f8c }
fieldset { display: flex; flex-wrap: wrap; gap: .2rem 1rem; border: 1px solid var(--line); border-radius: .5rem }
fieldset { margin: .5rem 0 } fieldset label { padding: .25rem 0 } summary { cursor: pointer; padding: .3rem 0 }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20.5rem), 1fr)); gap: 1rem }
figure { margin: 0 } svg { display: block; width: 100%; height: auto; max-width: 34rem } figcaption { font-size: .875rem }
dt { font-weight: bold } dd { margin: 0 0 .4rem } .made { border-left: 4px solid var(--wrong); padding-left: .7rem }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem }
.worst > li { margin-bottom: 1.2rem } .aligned { display: flex; flex-wrap: wrap; gap: .2rem .5rem; margin: .3rem 0; padding: 0 }
.pair { display: inline-flex; flex-direction: column } .pair del { color: var(--less) }
.pair ins { color: var(--wrong); font-weight: bold; text-decoration: underline }
:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px }
@media (max-width: 40rem) {
  body { padding: .75rem } th, td { padding: .3rem .45rem } tbody th:first-child { white-space: normal; min-width: 7rem }
  tbody th:first-child, .texts td { overflow-wrap: anywhere }
}
@media (prefers-color-scheme: dark) { a { color: #8ab4f8 } :focus-visible { outline-color: #8ab4f8 } }
"""

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const value = (row, column) => {
    const said = row.cells[column].dataset.v ?? (column ? null : row.cells[0].textContent);
    return said === null || said === "" || isNaN(said) ? said : Number(said);
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
"""
