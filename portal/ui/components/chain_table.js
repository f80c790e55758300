// The tables of a chain by its steps, updated in place; a click on a cell comes back as {verb: "job", id}.
function columns(data) {
  return [["Table", "name"], ...data.steps.map(word => [word, "step"])];
}

function newCell(cell) {
  cell.append(element("span"), element("span", "note quiet"));
}

function update(line, row) {
  const [name, ...cells] = line.children;
  set(name, row.table);
  name.title = row.table;
  row.cells.forEach((told, place) => {
    const cell = cells[place], mark = told.job + told.state;
    if (cell.dataset.mark !== mark) {
      cell.dataset.mark = mark;
      const chip = element(told.job ? "a" : "span", "chip " + told.look);
      if (told.job) {
        chip.href = "job?id=" + encodeURIComponent(told.job);
        chip.dataset.verb = "job";
        chip.dataset.id = told.job;
      }
      cell.replaceChild(chip, cell.firstChild);
    }
    set(cell.firstChild, told.word);
    set(cell.lastChild, told.note);
    cell.title = told.title;
  });
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root"), heads = columns(data), mark = JSON.stringify(heads);
  if (root.dataset.mark !== mark) {
    root.dataset.mark = mark;
    root.replaceChildren();
    build(root, "Tables by steps", heads, ({ verb, id }) => setTriggerValue("action", { verb, id }));
  }
  const newRow = id => {
    const row = emptyRow(id, heads);
    [...row.children].slice(1).forEach(newCell);
    return row;
  };
  showRows(root, data.rows, row => row.table, newRow, update);
}
