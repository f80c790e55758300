// The end of a log that follows while one is at its end. Lines are known by their place in the file.
function line(entry) {
  const made = document.createElement("div"), level = document.createElement("b");
  made.dataset.at = entry.at;
  made.className = entry.level;
  level.textContent = entry.level ? entry.level.padEnd(5) + " " : "";
  made.append(entry.time ? entry.time + " " : "", level, entry.text);
  return made;
}

export default function ({ data, parentElement }) {
  const box = parentElement.querySelector(".lines"), told = parentElement.querySelector(".told"), about = parentElement.querySelector(".about");
  const state = () => { told.textContent = data.live ? (atEnd() ? "Following" : "Paused: scroll to the end to follow") : "Complete"; };
  const atEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  const follow = !box.firstChild || atEnd();
  const have = new Map([...box.children].map(node => [node.dataset.at, node]));
  const fresh = document.createDocumentFragment();
  for (const entry of data.lines) {
    if (!have.delete(String(entry.at))) fresh.append(line(entry));
  }
  for (const node of have.values()) node.remove();
  box.append(fresh);
  if (!data.lines.length) {
    const none = document.createElement("div");
    none.className = "none";
    none.dataset.at = "none";
    none.textContent = data.empty;
    box.append(none);
  }
  if (follow) box.scrollTop = box.scrollHeight;
  box.onscroll = state;
  about.textContent = data.about;
  state();
}
