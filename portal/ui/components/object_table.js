// Things to choose from, as the objects of a store below its folders. What is ticked is known by key; it comes back as {seq, add: [...], drop: [...]}.
// A cell is a text, or {text, look, title}.
// Ticks that the server has not seen yet (seq > data.ack) stay as they were made and are sent again with the next one: however fast
// somebody ticks, none is lost and none flickers.
function cell(row, className, text) {
  const made = row.insertCell();
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function box(label, checked) {
  const made = document.createElement("input");
  made.type = "checkbox";
  made.checked = checked;
  made.setAttribute("aria-label", label);
  return made;
}

function folderRow(body, name, columns, send) {
  const row = body.insertRow();
  cell(row);
  const button = document.createElement("button");
  button.textContent = name.shown;
  button.onclick = () => send("open", name.prefix);
  cell(row, "name").append(button);
  cell(row, "num quiet", "folder");
  for (const _ of columns.slice(2)) cell(row);
}

function filled(row, kind, content) {
  if (typeof content === "string") return cell(row, kind, content);
  const made = cell(row, kind), chip = document.createElement("span");
  chip.className = content.look;
  chip.textContent = content.text;
  made.title = content.title || "";
  made.append(chip);
}

function objectRow(body, object, columns, place, state) {
  const row = body.insertRow();
  row.dataset.key = object.key;
  row.className = object.picked ? "picked" : "";
  if (state.selectable) {
    const tick = box("Select " + object.key, object.picked);
    tick.disabled = Boolean(object.locked);
    tick.onclick = event => state.clicked(place, tick.checked, event.shiftKey);
    cell(row).append(tick);
  } else cell(row);
  const name = cell(row, "name", object.shown);
  name.title = object.key;
  columns.slice(1).forEach(([, kind], number) => filled(row, kind, object.cells[number]));
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("#root"), table = document.createElement("table"), picked = new Set();
  const scroll = root.scrollTop;
  const pending = root.pending ||= new Map();
  root.seq ??= data.ack;
  if (data.place !== root.dataset.place) pending.clear();
  for (const [key, made] of pending) if (made.seq <= data.ack) pending.delete(key);
  table.className = "grid";
  const caption = table.createCaption();
  caption.className = "hidden";
  caption.textContent = data.title;
  const head = table.createTHead().insertRow();
  for (const [title, kind] of [["", ""], ...data.columns]) {
    const made = document.createElement("th");
    made.scope = "col";
    made.className = kind;
    made.textContent = title;
    head.append(made);
  }
  const body = table.createTBody();
  const objects = data.objects.map(object => ({ ...object, picked: pending.get(object.key)?.wanted ?? object.picked }));
  for (const object of objects) if (object.picked) picked.add(object.key);
  for (const folder of data.folders) folderRow(body, folder, data.columns, setTriggerValue);
  let last = null;
  const change = (keys, wanted) => {
    for (const key of keys) wanted ? picked.add(key) : picked.delete(key);
    for (const row of body.rows) {
      if (!row.dataset.key) continue;
      const on = picked.has(row.dataset.key);
      row.className = on ? "picked" : "";
      row.querySelector("input").checked = on;
    }
    all.checked = free.length > 0 && picked.size === free.length;
    all.indeterminate = picked.size > 0 && picked.size < free.length;
    root.seq += 1;
    for (const key of keys) pending.set(key, { wanted, seq: root.seq });
    const made = wanted => [...pending].filter(([, one]) => one.wanted === wanted).map(([key]) => key);
    setTriggerValue("change", { seq: root.seq, add: made(true), drop: made(false) });
  };
  const free = objects.filter(object => !object.locked);
  const state = {
    selectable: data.selectable,
    clicked: (place, wanted, range) => {
      const from = range && last !== null ? Math.min(last, place) : place, to = range && last !== null ? Math.max(last, place) : place;
      last = place;
      change(objects.slice(from, to + 1).filter(object => !object.locked).map(object => object.key), wanted);
    },
  };
  objects.forEach((object, place) => objectRow(body, object, data.columns, place, state));
  const all = box("Select all " + data.title.toLowerCase() + " shown", free.length > 0 && picked.size === free.length);
  all.indeterminate = picked.size > 0 && picked.size < free.length;
  all.onclick = () => change(free.map(object => object.key), all.checked);
  if (data.selectable && free.length) head.cells[0].append(all);
  root.replaceChildren(table);
  root.scrollTop = data.place === root.dataset.place ? scroll : 0;
  root.dataset.place = data.place;
}
