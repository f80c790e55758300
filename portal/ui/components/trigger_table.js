// A table of triggers that is updated in place; clicks come back as {verb, name}; of the verb job the name is a job's id.
const COLUMNS = [
  ["Trigger", ""], ["Kind", ""], ["Waits for", "waits"], ["Runs", "does"], ["State", ""], ["Last event", ""], ["Next", ""], ["Actions", ""],
];

function newLink(verb, name, className) {
  const link = element("a", className);
  link.dataset.verb = verb;
  link.dataset.name = name;
  link.href = (verb === "job" ? "job?id=" : "triggers?name=") + encodeURIComponent(name);
  return link;
}

function newRow(name) {
  const row = emptyRow(name, COLUMNS);
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
  if (!root.firstChild) build(root, "Triggers", COLUMNS, ({ verb, name }) => setTriggerValue("action", { verb, name }));
  showRows(root, data.rows, row => row.name, newRow, update);
}
