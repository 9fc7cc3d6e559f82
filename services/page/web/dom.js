// Elements and tables. Text of others only ever becomes text nodes.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let ids = 0;
export function section(title, ...children) {
  const id = `section-${++ids}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

// A table whose rows stay the same elements while what they say changes, so that focus and selection
// stay. Columns: {title, text(item), href(item), class}.
export class Table {
  constructor(caption, columns, none) {
    this.columns = columns;
    this.rows = new Map();
    this.body = h("tbody");
    this.note = h("p", { class: "quiet" }, none);
    this.none = none;
    const head = columns.map((column) => h("th", { scope: "col", class: column.class }, column.title));
    this.table = h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, ...head)), this.body);
    this.element = h("div", {}, h("div", { class: "scroll" }, this.table), this.note);
  }

  // `items`: [key, item] in order; `more`: what is said below of those left out.
  show(items, more = "") {
    const gone = new Set(this.rows.keys());
    let place = this.body.firstChild;
    for (const [key, item] of items) {
      gone.delete(key);
      const row = this.row(key);
      this.columns.forEach((column, i) => {
        const cell = row.cells[i], target = column.href ? cell.firstChild : cell;
        setText(target, column.text(item));
        if (column.href) target.setAttribute("href", column.href(item));
        if (column.state) cell.dataset.state = column.text(item);
        if (column.full) cell.title = column.full(item);
      });
      if (row === place) place = place.nextSibling;
      else this.body.insertBefore(row, place);
    }
    for (const key of gone) {
      this.rows.get(key).remove();
      this.rows.delete(key);
    }
    this.table.hidden = items.length === 0;
    setText(this.note, items.length === 0 ? this.none : more);
  }

  row(key) {
    if (!this.rows.has(key)) {
      const cells = this.columns.map((column) => column.href
        ? h("th", { scope: "row", class: column.class }, h("a"))
        : h("td", { class: column.class }));
      this.rows.set(key, h("tr", {}, ...cells));
    }
    return this.rows.get(key);
  }
}
