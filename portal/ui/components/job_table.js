// A table of jobs that is updated in place; clicks come back as {verb, id}, a chosen priority as {verb, id, value}.
const COLUMNS = [
  ["Job", ""], ["Name", ""], ["State", ""], ["Progress", ""], ["Done", "num"], ["Rate", "num"], ["ETA", "num"],
  ["Engine", ""], ["Owner", ""], ["Started", ""], ["Took", "num"], ["Actions", ""],
];

function newRow(id) {
  const row = emptyRow(id, COLUMNS);
  const [job, name, state, progress] = row.children;
  const link = element("a", "mono");
  link.dataset.verb = "open";
  link.dataset.id = id;
  link.href = "job?id=" + encodeURIComponent(id);
  link.title = id;
  job.append(link);
  name.className = "wide";
  state.append(element("span"));
  const bar = element("span", "bar");
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", "100");
  bar.append(element("i"));
  progress.append(bar, element("span", "pct"), element("span", "note quiet"));
  return row;
}

function showProgress(cell, row) {
  const [bar, percent, note] = cell.children;
  const known = row.fraction !== null && row.fraction !== undefined;
  bar.style.display = known || row.state === "running" ? "" : "none";
  const value = known ? Math.round(row.fraction * 100) : 0;
  bar.className = "bar " + row.state + (known ? "" : " unknown");
  if (known) bar.setAttribute("aria-valuenow", value);
  else bar.removeAttribute("aria-valuenow");
  bar.setAttribute("aria-label", row.id + " progress");
  bar.firstChild.style.width = value + "%";
  set(percent, known ? value + "%" : "");
  percent.style.display = known ? "" : "none";
  set(note, known ? "" : row.note || "");
  note.title = row.more || row.note || "";
}

// A job that waits has no figures yet: why it waits takes their place.
function spread(cells, waits) {
  cells[3].colSpan = waits ? 4 : 1;
  for (const place of [4, 5, 6]) cells[place].style.display = waits ? "none" : "";
  cells[3].lastChild.classList.toggle("long", waits);
}

function showAction(cell, row) {
  const waits = row.priority !== null;
  const mark = row.action + (row.enabled ? "+" : "-") + row.status_word + waits;
  if (cell.dataset.mark === mark) {
    for (const control of cell.children) control.disabled = !row.enabled;
    if (waits) showPriority(cell.lastChild, row);
    return;
  }
  cell.dataset.mark = mark;
  cell.replaceChildren();
  if (!row.action) return;
  const button = element("button");
  button.textContent = row.action[0].toUpperCase() + row.action.slice(1);
  button.dataset.verb = row.action;
  button.dataset.id = row.id;
  button.disabled = !row.enabled;
  button.setAttribute("aria-label", button.textContent + " " + row.id);
  cell.append(button);
  if (waits) cell.append(newPriority(row));
}

function newPriority(row) {
  const chosen = element("select");
  for (let value = 0; value < 10; value++) chosen.append(new Option("P" + value, value));
  chosen.dataset.id = row.id;
  chosen.disabled = !row.enabled;
  chosen.title = "Priority: 0 starts first, 9 last";
  chosen.setAttribute("aria-label", "Priority of " + row.id);
  showPriority(chosen, row);
  return chosen;
}

// Not under the hand of somebody who is choosing.
function showPriority(chosen, row) {
  if (chosen.getRootNode().activeElement !== chosen || chosen.dataset.was !== String(row.priority)) chosen.value = row.priority;
  chosen.dataset.was = row.priority;
}

function update(line, row) {
  const c = line.children;
  set(c[0].firstChild, row.short);
  set(c[1], row.name);
  c[1].title = row.name;
  const chip = c[2].firstChild;
  set(chip, row.status_word);
  chip.className = "chip " + row.state;
  showProgress(c[3], row);
  spread(c, row.state === "queued");
  set(c[4], row.done);
  set(c[5], row.rate);
  set(c[6], row.eta);
  set(c[7], row.engine);
  set(c[8], row.owner);
  set(c[9], row.started);
  set(c[10], row.took);
  showAction(c[11], row);
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root"), send = value => setTriggerValue("action", value);
  if (!root.firstChild) {
    build(root, "Jobs", COLUMNS, ({ verb, id }) => send({ verb, id }));
    root.addEventListener("change", event => {
      if (event.target.tagName === "SELECT") send({ verb: "priority", id: event.target.dataset.id, value: Number(event.target.value) });
    });
  }
  showRows(root, data.rows, row => row.id, newRow, update);
}
