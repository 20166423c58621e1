// The inbox: cards come rendered; here they only land, count and are copied.

const main = document.getElementById("main");
const letters = document.getElementById("letters");
const empty = document.getElementById("empty");
const clear = document.getElementById("clear");
const { channel, lang, copied } = main.dataset;
const time = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MOST = 200;

function localTimes(root) {
  for (const node of root.querySelectorAll("time")) node.textContent = time.format(new Date(node.dateTime));
}

function count(name) {
  for (const key of ["all", name]) {
    const badge = document.querySelector(`[data-count="${key}"] b`);
    if (badge) badge.textContent = Number(badge.textContent) + 1;
  }
}

function land({ channel: of, card }) {
  count(of);
  clear.hidden = false;
  if (channel && channel !== of) return;
  const holder = document.createElement("template");
  holder.innerHTML = card[lang];
  const node = holder.content.querySelector("article");
  node.classList.add("new");
  localTimes(node);
  letters.prepend(node);
  empty.hidden = true;
  while (letters.children.length > MOST) letters.lastElementChild.remove();
}

function forget() {
  letters.replaceChildren();
  empty.hidden = false;
  clear.hidden = true;
  for (const badge of document.querySelectorAll("[data-count] b")) badge.textContent = "";
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, or not a secure context: the old way
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

letters.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await copy(button.dataset.copy);
  const label = button.querySelector("i");
  const before = (button.dataset.label ??= label.textContent);
  label.textContent = copied;
  setTimeout(() => { label.textContent = before; }, 1600);
});
clear.addEventListener("click", () => fetch("/inbox.json", { method: "DELETE" }));

localTimes(document);
const live = document.getElementById("live");
let seen = Number(main.dataset.last);
const source = new EventSource("/inbox/events");
source.addEventListener("hello", (event) => {
  const { last } = JSON.parse(event.data);
  live.hidden = false;
  // Something came (or went) while the line was down: show the page as it is now.
  if (seen !== last) location.reload();
  seen = last;
});
source.addEventListener("letter", (event) => { const letter = JSON.parse(event.data); seen = letter.id; land(letter); });
source.addEventListener("clear", () => { seen = 0; forget(); });
source.onerror = () => { live.hidden = true; };
document.querySelector(".filters [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
