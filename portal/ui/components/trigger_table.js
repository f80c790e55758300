// A table of triggers that is updated in place; clicks come back as {verb, name}; of the verb job the name is a job's id.
const COLUMNS = [
  ["Trigger", ""], ["Kind", ""], ["Waits for", "waits"], ["Runs", "does"], ["State", ""], ["Last event", ""], ["Next", ""], ["Actions", ""],
];

function element(name, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function build(root, send) {
  const table = element("table", "grid"), caption = element("caption", "hidden"), head = element("tr");
  caption.textContent = "Triggers";
  for (const [title] of COLUMNS) {
    const cell = element("th");
    cell.scope = "col";
    cell.textContent = title;
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
    send({ verb: target.dataset.verb, name: target.dataset.name });
  });
}

function newLink(verb, name, className) {
  const link = element("a", className);
  link.dataset.verb = verb;
  link.dataset.name = name;
  link.href = (verb === "job" ? "job?id=" : "triggers?name=") + encodeURIComponent(name);
  return link;
}

function newRow(name) {
  const row = element("tr");
  row.dataset.name = name;
  for (const [, kind] of COLUMNS) row.append(element("td", kind));
  const link = newLink("open", name, "");
  link.textContent = name;
  row.children[0].append(link);
  row.children[4].append(element("span"), element("span", "note quiet"));
  row.children[5].append(element("span"), element("span", "note quiet"));
  return row;
}

// The word of the last event leads to its job, if it made one.
function showLast(cell, row) {
  const mark = row.last_job + row.last;
  if (cell.dataset.mark !== mark) {
    cell.dataset.mark = mark;
    const word = row.last_job ? newLink("job", row.last_job, "last") : element("span");
    word.textContent = row.last;
    cell.replaceChild(word, cell.firstChild);
  }
  set(cell.lastChild, row.last_at);
  cell.lastChild.title = row.last_reason;
}

function newButton(verb, word, row) {
  const button = element("button");
  button.textContent = word;
  button.dataset.verb = verb;
  button.dataset.name = row.name;
  button.setAttribute("aria-label", word + " " + row.name);
  return button;
}

function showActions(cell, row) {
  const mark = row.state + row.asked;
  if (cell.dataset.mark !== mark) {
    cell.dataset.mark = mark;
    const turn = row.paused ? newButton("resume", "Resume", row) : newButton("pause", "Pause", row);
    cell.replaceChildren(newButton("run", row.asked ? "Asked" : "Run now", row), turn);
  }
  for (const button of cell.children) button.disabled = !row.enabled || (row.asked && button.dataset.verb === "run");
}

function update(line, row) {
  const c = line.children;
  set(c[1], row.kind);
  set(c[2], row.waits);
  c[2].title = row.waits;
  set(c[3], row.does);
  c[3].title = row.does;
  const [chip, note] = c[4].children;
  set(chip, row.state_word);
  chip.className = "chip " + row.state;
  set(note, row.note);
  note.title = row.note;
  showLast(c[5], row);
  set(c[6], row.next);
  c[6].title = row.next_at;
  showActions(c[7], row);
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root");
  if (!root.firstChild) build(root, value => setTriggerValue("action", value));
  const body = root.querySelector("tbody");
  const lines = new Map([...body.children].map(line => [line.dataset.name, line]));
  data.rows.forEach((row, place) => {
    const line = lines.get(row.name) || newRow(row.name);
    lines.delete(row.name);
    update(line, row);
    if (body.children[place] !== line) body.insertBefore(line, body.children[place] || null);
  });
  for (const line of lines.values()) line.remove();
}
