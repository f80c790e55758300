// What the tables of jobs and triggers have in common: rows that are known by an id and updated in place, so that nothing flickers, and clicks
// on what has a data-verb. It stands before the text of each.
function element(name, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function build(root, title, columns, clicked) {
  const table = element("table", "grid"), caption = element("caption", "hidden"), head = element("tr");
  caption.textContent = title;
  for (const [word, kind] of columns) {
    const cell = element("th", kind);
    cell.scope = "col";
    cell.textContent = word;
    head.append(cell);
  }
  const top = element("thead");
  top.append(head);
  table.append(caption, top, element("tbody"));
  root.append(table);
  root.addEventListener("click", event => {
    const target = event.target.closest("[data-verb]");
    if (!target || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (target.disabled) return;
    if (target.tagName === "BUTTON") target.disabled = true;
    clicked(target.dataset);
  });
}

function emptyRow(id, columns) {
  const row = element("tr");
  row.dataset.id = id;
  for (const [, kind] of columns) row.append(element("td", kind));
  return row;
}

function showRows(root, rows, idOf, newRow, update) {
  const body = root.querySelector("tbody");
  const lines = new Map([...body.children].map(line => [line.dataset.id, line]));
  rows.forEach((row, place) => {
    const id = idOf(row), line = lines.get(id) || newRow(id);
    lines.delete(id);
    update(line, row);
    if (body.children[place] !== line) body.insertBefore(line, body.children[place] || null);
  });
  for (const line of lines.values()) line.remove();
}
