"use strict";

// Puts the view that was chosen in its place, finds callers, and sorts tables. Without it, the page shows its first view.
(() => {
  const FIRST = 10; // Callers that show before somebody asks for all.
  const element = (id) => document.getElementById(id);
  const [view, callers, said, period, number] = ["view", "callers", "said", "period", "number"].map(element);
  const contents = (node) => {
    const kept = document.createDocumentFragment();
    for (const child of node.childNodes) kept.append(child.cloneNode(true));
    return kept;
  };
  const views = new Map([[`${period.value} all`, contents(view)]]);
  const lists = new Map([["all", contents(callers)]]);
  for (const template of document.querySelectorAll("template")) {
    if (template.dataset.view) views.set(template.dataset.view, template.content);
    else lists.set(template.dataset.callers, template.content);
  }

  const sortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        // Numbers begin with the largest, names with the first.
        const before = head.getAttribute("aria-sort");
        const downwards = column ? before !== "descending" : before === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", downwards ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const order = (one, other) => (column ? value(one) - value(other) : value(one).localeCompare(value(other)));
        const rows = [...table.tBodies[0].rows].sort((one, other) => (downwards ? order(other, one) : order(one, other)));
        table.tBodies[0].append(...rows);
      });
    });
  };

  const findable = (place) => {
    const [field, more, found] = [".find", ".more", ".found"].map((kind) => place.querySelector(kind));
    if (!field) return;
    const rows = [...place.querySelectorAll("tbody tr")];
    let all = rows.length <= FIRST;
    const list = () => {
      const words = field.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
      const fits = (row) => words.every((word) => row.textContent.toLocaleLowerCase().includes(word));
      rows.forEach((row, place) => { row.hidden = words.length ? !fits(row) : !all && place >= FIRST; });
      found.textContent = words.length ? `${rows.filter(fits).length} of ${rows.length}` : "";
      more.hidden = all || words.length > 0;
    };
    field.closest(".search").hidden = false;
    field.addEventListener("input", list);
    more.addEventListener("click", () => {
      all = true;
      list();
      field.focus();
    });
    list();
  };

  const show = () => {
    const line = number ? number.value : "all";
    view.replaceChildren(views.get(`${period.value} ${line}`).cloneNode(true));
    callers.replaceChildren(lists.get(line).cloneNode(true));
    view.querySelectorAll("table.sortable").forEach(sortable);
    findable(callers);
  };
  const choose = () => {
    show();
    said.textContent = view.querySelector(".lead").textContent;
  };

  element("filters").hidden = false;
  period.addEventListener("change", choose);
  if (number) number.addEventListener("change", choose);
  show(); // A browser that comes back to the page keeps what was chosen.
})();
