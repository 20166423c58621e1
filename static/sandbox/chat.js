// The phone: one chat, live. What is shown always follows from what the sandbox says, never from hope.

const boot = JSON.parse(document.getElementById("boot").textContent);
const t = boot.texts;
const lang = document.documentElement.lang;
const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(lang, { day: "numeric", month: "long" });
const bot = boot.view.bot;

let view = boot.view;
let source = null;
let payload = new URLSearchParams(location.search).get("start");
let waiting = 0;
let typing = 0;
let becoming = null; // ends when the phone has its new owner, or keeps its former one
const pressed = new Map(); // callback query id -> what stops its button's spinner
const early = new Set(); // answers that came before the press itself returned

// Small helpers

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== "" && child != null));
  return node;
}

function icon(name, size = 20) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  for (const [key, value] of Object.entries({ class: "icon", width: size, height: size, viewBox: "0 0 24 24", "aria-hidden": "true" })) svg.setAttribute(key, value);
  const use = document.createElementNS(ns, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
const digits = (text) => text.replace(/\D/g, "");
const safe = (url) => (/^(https?|tg|mailto):/i.test(url) ? url : null);

async function post(path, body = {}) {
  let answer;
  try {
    const response = await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
    answer = await response.json();
    if (response.ok) return answer;
  } catch {
    answer = { error: t.went_wrong };
  }
  toast(answer.error);
  throw new Error(answer.error);
}

const act = async (action, body) => {
  await post(`/api/chats/${bot.username}/${view.person.user_id}/${action}`, body);
  expectAnswer();
};

let toastTimer = 0;
function toast(text) {
  clearTimeout(toastTimer);
  $("toast").textContent = text;
  $("toast").classList.add("on");
  toastTimer = setTimeout(() => $("toast").classList.remove("on"), 2600);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no permission, or not a secure context: the old way
    const area = el("textarea", { "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(t.copied);
}

// A bot that does not answer is the commonest trouble of a newcomer: say what to do.

function expectAnswer() {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    try {
      const response = await fetch(`/api/chats/${bot.username}/${view.person.user_id}`);
      const { bot: now } = await response.json();
      $("hint").textContent = now.online ? t.no_answer : t.bot_off;
    } catch { /* the header says "connecting…" by then */ }
  }, 4000);
}

function answered() {
  clearTimeout(waiting);
  $("hint").textContent = "";
}

// Messages

function rich(text, entities, start = 0, end = text.length) {
  const parts = [];
  let at = start;
  entities.forEach((entity, index) => {
    const stop = entity.offset + entity.length;
    if (entity.offset < at || stop > end) return;
    parts.push(text.slice(at, entity.offset));
    const inner = entities.slice(index + 1).filter((other) => other.offset < stop);
    parts.push(wrap(entity, text, rich(text, inner, entity.offset, stop)));
    at = stop;
  });
  parts.push(text.slice(at, end));
  return parts.map((part, index) => (typeof part === "string" ? closeUp(part, parts[index - 1], parts[index + 1]) : part));
}

/** A large code keeps its own distance: the empty lines around it go. */
function closeUp(text, before, after) {
  const large = (node) => node instanceof Element && node.classList.contains("code");
  if (large(before)) text = text.replace(/^\n+/, "\n");
  return large(after) ? text.replace(/\n+$/, "\n") : text;
}

function wrap(entity, text, inside) {
  const plain = text.slice(entity.offset, entity.offset + entity.length);
  const tags = { bold: "b", italic: "i", underline: "u", strikethrough: "s", blockquote: "blockquote", expandable_blockquote: "blockquote" };
  if (tags[entity.type]) return el(tags[entity.type], {}, inside);
  if (entity.type === "pre") return el("pre", {}, inside);
  if (entity.type === "spoiler") return el("span", { class: "spoiler", tabindex: "0" }, inside);
  if (entity.type === "bot_command") return el("button", { class: "command", type: "button", onclick: () => act("text", { text: plain }) }, plain);
  if (entity.type === "code") return code(entity, text, plain);
  const href = { text_link: entity.url, url: plain, email: `mailto:${plain}` }[entity.type];
  if (href && safe(href)) return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, inside);
  return el("span", {}, inside);
}

/** A code alone on its line is what the person came for: large, and copied by a tap. */
function code(entity, text, plain) {
  const before = text[entity.offset - 1] ?? "\n";
  const after = text[entity.offset + entity.length] ?? "\n";
  const isCode = /^[0-9A-Z][0-9A-Z \-]{2,11}$/.test(plain);
  const large = isCode && before === "\n" && after === "\n";
  const props = { class: large ? "copy code" : "copy", type: "button", "aria-label": fill(t.copy_code, { code: plain }), onclick: () => copy(plain) };
  return el("button", props, plain, large ? icon("copy", 22) : "");
}

function messageNode(message, previous) {
  const mine = !message.from.is_bot;
  const turn = !previous || previous.from.id !== message.from.id;
  const time = el("span", { class: "meta" }, message.edit_date ? `${t.edited} ` : "", clock.format(message.date * 1000), mine ? icon("check", 14) : "");
  const bubble = el("div", { class: "bubble" });
  if (mine) bubble.append(el("span", { class: "unseen" }, `${t.you}: `));
  if (message.reply_to_message && !message.contact) bubble.append(el("div", { class: "reply" }, message.reply_to_message.text ?? t.contact));
  if (message.contact) bubble.append(contactCard(message.contact));
  else bubble.append(...rich(message.text ?? "", message.entities ?? []).filter((part) => part !== ""));
  bubble.append(time);
  const node = el("div", { class: `message${mine ? " mine" : ""}${turn ? " turn" : ""}`, "data-id": message.message_id }, bubble);
  const inline = message.reply_markup?.inline_keyboard;
  if (inline?.length) node.append(inlineKeyboard(message, inline));
  return node;
}

function contactCard(contact) {
  const number = `+${digits(contact.phone_number)}`;
  const shown = digits(number) === view.person.phone ? view.person.display : number;
  return el("span", { class: "card" }, el("span", { class: "face", "aria-hidden": "true" }, icon("person", 26)), el("span", {}, el("b", {}, contact.first_name), el("span", {}, shown)));
}

function inlineKeyboard(message, rows) {
  return el("div", { class: "inline" }, rows.map((row) => {
    const numbers = row.every((button) => /^\d{1,3}$/.test(button.text));
    return el("div", { class: numbers ? "row numbers" : "row" }, row.map((button) => inlineButton(message, button)));
  }));
}

function inlineButton(message, button) {
  const style = `key ${button.style === "danger" ? "danger" : ""}`;
  const url = safe(button.url ?? button.web_app?.url ?? button.login_url?.url ?? "");
  if (url) return el("a", { class: style, href: url, target: "_blank", rel: "noopener", title: t.opens_tab }, button.text, icon("out", 18));
  if (button.copy_text) return el("button", { class: style, type: "button", onclick: () => copy(button.copy_text.text) }, button.text, icon("copy", 18));
  const node = el("button", { class: style, type: "button" }, button.text);
  if (button.callback_data) node.addEventListener("click", () => press(node, message, button.callback_data));
  return node;
}

async function press(node, message, data) {
  if (node.classList.contains("busy")) return;
  node.classList.add("busy");
  const stop = () => node.classList.remove("busy");
  setTimeout(stop, 15000);
  try {
    const { callback_query_id: id } = await post(`/api/chats/${bot.username}/${view.person.user_id}/callback`, { message_id: message.message_id, data });
    if (early.delete(id)) stop();
    else pressed.set(id, stop);
    expectAnswer();
  } catch {
    stop();
  }
}

// The whole screen

function render() {
  const log = $("log");
  log.replaceChildren();
  if (!view.messages.length) {
    const face = el("span", { class: "avatar big", "aria-hidden": "true" }, icon("key", 30));
    log.append(el("div", { class: "intro" }, face, el("b", {}, t.about_bot), view.bot.description || t.about_default));
  }
  let last = "";
  view.messages.forEach((message, index) => {
    last = appendDay(message, last);
    log.append(messageNode(message, view.messages[index - 1]));
  });
  $("owner-number").textContent = view.person.display;
  $("owner-name").textContent = view.person.first_name;
  $("language").value = view.person.language_code.slice(0, 2);
  renderFoot();
  toEnd();
}

function appendDay(message, last) {
  const date = new Date(message.date * 1000);
  const label = date.toDateString() === new Date().toDateString() ? t.today : day.format(date);
  if (label !== last) $("log").append(el("div", { class: "day" }, label));
  return label;
}

function add(message) {
  if (view.messages.some((known) => known.message_id === message.message_id)) return;
  const previous = view.messages.at(-1);
  view.messages.push(message);
  if (!previous) {
    $("log").replaceChildren();
    appendDay(message, "");
  }
  const node = messageNode(message, previous);
  node.classList.add("new");
  $("log").append(node);
  toEnd();
}

function toEnd() {
  $("log").scrollTop = $("log").scrollHeight;
}

function renderFoot() {
  const begin = view.blocked || !view.started || payload !== null;
  $("begin").hidden = !begin;
  $("composer").hidden = begin;
  $("start").textContent = view.blocked && payload === null ? t.unblock : t.start;
  $("begin-note").textContent = view.blocked ? t.blocked_note : payload !== null && view.started ? t.start_link : "";
  $("block").lastElementChild.textContent = view.blocked ? t.unblock : t.block;
  $("block").hidden = !view.started;
  for (const node of document.querySelectorAll("[data-send]")) node.hidden = view.blocked;
  renderKeyboard(begin ? null : view.keyboard);
  renderCommands(null);
}

function renderKeyboard(keyboard) {
  const rows = keyboard?.keyboard ?? [];
  $("keyboard").hidden = !rows.length;
  $("keyboard").replaceChildren(...rows.map((row) => el("div", { class: "row" }, row.map((button) =>
    button.request_contact
      ? el("button", { class: "key ask", type: "button", "aria-haspopup": "dialog", onclick: askContact }, icon("phone"), button.text)
      : el("button", { class: "key", type: "button", onclick: () => act("text", { text: button.text }) }, button.text)))));
  $("text").placeholder = keyboard?.input_field_placeholder || t.write;
}

function commandList() {
  const known = view.bot.commands ?? [];
  return known.length ? known : [{ command: "start", description: "" }, { command: "help", description: "" }, { command: "stop", description: "" }];
}

function renderCommands(beginning) {
  const list = beginning === null ? [] : commandList().filter(({ command }) => `/${command}`.startsWith(beginning));
  $("commands").hidden = !list.length;
  $("commands-button").setAttribute("aria-expanded", String(list.length > 0));
  $("commands").replaceChildren(...list.map(({ command, description }) => el("button", {
    type: "button",
    onclick: () => { $("text").value = ""; renderCommands(null); act("text", { text: `/${command}` }); },
  }, el("b", {}, `/${command}`), el("span", {}, description))));
}

function status(text, busy = false) {
  $("status").textContent = text;
  $("status").classList.toggle("busy", busy);
}

// Live

function connect() {
  source?.close();
  source = new EventSource(`/api/chats/${bot.username}/${view.person.user_id}/events`);
  const on = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  on("snapshot", (data) => {
    status(t.bot);
    if (JSON.stringify(data) !== JSON.stringify(view)) { view = data; render(); }
  });
  on("message", (message) => {
    if (message.from.is_bot) { answered(); stopTyping(); }
    add(message);
  });
  on("edit", (message) => {
    const index = view.messages.findIndex((known) => known.message_id === message.message_id);
    if (index < 0) return;
    answered();
    view.messages[index] = message;
    document.querySelector(`[data-id="${message.message_id}"]`)?.replaceWith(messageNode(message, view.messages[index - 1]));
  });
  on("delete", ({ message_id: id }) => {
    view.messages = view.messages.filter((known) => known.message_id !== id);
    document.querySelector(`[data-id="${id}"]`)?.remove();
  });
  on("chat", (data) => { Object.assign(view, data); renderFoot(); toEnd(); });
  on("action", () => {
    status(t.typing, true);
    clearTimeout(typing);
    typing = setTimeout(stopTyping, 5000);
  });
  on("answer", ({ callback_query_id: id, text, show_alert: alert, url }) => {
    answered();
    if (pressed.has(id)) pressed.get(id)();
    else early.add(id);
    pressed.delete(id);
    if (url && safe(url)) window.open(url, "_blank", "noopener");
    if (!text) return;
    if (!alert) { toast(text); return; }
    $("alert-text").textContent = text;
    open($("alert"));
  });
  source.onerror = () => status(t.connecting, true);
}

function stopTyping() {
  clearTimeout(typing);
  status(t.bot);
}

// Who holds the phone

function become(phone, more = {}) {
  const changed = change(phone, more);
  becoming = changed.catch(() => {});
  return changed;
}

async function change(phone, more) {
  const person = await post("/api/people", { phone, language_code: document.documentElement.lang, ...more });
  remember(person);
  const response = await fetch(`/api/chats/${bot.username}/${person.user_id}`);
  view = await response.json();
  render();
  connect();
}

function remember(person) {
  document.cookie = `${boot.cookie}=${person.phone}; path=/; max-age=31536000; samesite=lax`;
  try { localStorage.setItem(boot.cookie, person.phone); } catch { /* private mode: the cookie will do */ }
}

async function start(withPayload) {
  payload = null;
  history.replaceState(null, "", location.pathname + langQuery());
  await becoming; // who presses Start just after saying whose phone it is means that person
  await act("start", withPayload ? { payload: withPayload } : {});
}

const langQuery = () => {
  const asked = new URLSearchParams(location.search).get("lang");
  return asked ? `?lang=${asked}` : "";
};

const lastPayload = () => view.messages.findLast((m) => !m.from.is_bot && m.text?.startsWith("/start "))?.text.slice(7) ?? null;

async function until(condition, patience) {
  const end = Date.now() + patience;
  while (Date.now() < end) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 80));
  }
  return false;
}

/** Another number is another person: they follow the same link, are asked, and share theirs. */
async function share(number) {
  if (digits(number) === view.person.phone) return act("contact", {});
  const link = lastPayload();
  await become(number);
  await start(link);
  const asked = await until(() => view.keyboard?.keyboard.flat().some((button) => button.request_contact), 5000);
  return asked ? act("contact", {}) : toast(t.not_asked);
}

// Sheets lie inside the drawn phone, wherever that stands.

function open(dialog) {
  const box = document.querySelector(".glass").getBoundingClientRect();
  dialog.style.setProperty("--x", `${box.left}px`);
  dialog.style.setProperty("--w", `${box.width}px`);
  dialog.style.setProperty("--b", `${Math.max(0, window.innerHeight - box.bottom)}px`);
  if (!dialog.open) dialog.showModal();
}

function askContact() {
  $("contact-phone").value = view.person.display;
  $("contact-note").hidden = true;
  complain("contact", "");
  open($("contact-sheet"));
  $("contact-form").querySelector(".strong").focus();
}

function complain(name, text) {
  $(`${name}-error`).textContent = text;
  $(`${name}-phone`).setAttribute("aria-invalid", String(Boolean(text)));
  if (text) $(`${name}-phone`).focus();
}

const validNumber = (text) => /^\s*\+?[\d\s().\-–]+$/.test(text) && digits(text).length >= 7 && digits(text).length <= 15;

function onSheet(name, submit) {
  $(`${name}-form`).addEventListener("submit", (event) => {
    event.preventDefault();
    const number = $(`${name}-phone`).value;
    if (!validNumber(number)) { complain(name, t.bad_number); return; }
    $(`${name}-sheet`).close();
    Promise.resolve(submit(number)).catch(() => {});
  });
  $(`${name}-phone`).addEventListener("input", () => uncomplain(name));
}

function uncomplain(name) {
  $(`${name}-error`).textContent = "";
  $(`${name}-phone`).removeAttribute("aria-invalid");
  if (name === "contact") $("contact-note").hidden = digits($("contact-phone").value) === view.person.phone;
}

onSheet("contact", share);
onSheet("owner", (number) => become(number, { first_name: $("owner-first-name").value }));
for (const node of document.querySelectorAll("[data-close]")) node.addEventListener("click", () => node.closest("dialog").close());
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
window.addEventListener("resize", () => document.querySelectorAll("dialog[open]").forEach(open));

$("owner").addEventListener("click", () => {
  $("owner-phone").value = view.person.display;
  $("owner-first-name").value = view.person.first_name;
  complain("owner", "");
  open($("owner-sheet"));
});

// Menu, composer, start

function toggleMenu(show = $("menu").hidden) {
  if (show) $("toast").classList.remove("on");
  $("menu").hidden = !show;
  $("menu-button").setAttribute("aria-expanded", String(show));
  if (show) $("menu").querySelector("button:not([hidden])")?.focus();
}
$("menu-button").addEventListener("click", (event) => { event.stopPropagation(); toggleMenu(); });
document.addEventListener("click", (event) => {
  if (!$("menu").hidden && !$("menu").contains(event.target)) toggleMenu(false);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  renderCommands(null);
  if (!$("menu").hidden) { toggleMenu(false); $("menu-button").focus(); }
});
for (const node of document.querySelectorAll("[data-send]")) {
  node.addEventListener("click", () => {
    toggleMenu(false);
    if (node.dataset.send === "/start") start(null);
    else act("text", { text: node.dataset.send });
  });
}
$("block").addEventListener("click", async () => {
  toggleMenu(false);
  await post(`/api/chats/${bot.username}/${view.person.user_id}/${view.blocked ? "unblock" : "block"}`);
});
$("language").addEventListener("change", async (event) => {
  view.person = await post("/api/people", { phone: view.person.phone, language_code: event.target.value });
  toggleMenu(false);
});

$("start").addEventListener("click", () => {
  if (view.blocked && payload === null) post(`/api/chats/${bot.username}/${view.person.user_id}/unblock`);
  else start(payload);
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  renderCommands(null);
  act("text", { text }).catch(() => { $("text").value = text; });
});
$("text").addEventListener("input", () => renderCommands($("text").value.startsWith("/") ? $("text").value : null));
$("commands-button").addEventListener("click", () => renderCommands($("commands").hidden ? "/" : null));

// The clock of the drawn phone

const tick = () => { $("clock").textContent = clock.format(new Date()); };
tick();
setInterval(tick, 10_000);

// Go

const asked = new URLSearchParams(location.search).get("phone");
let remembered = null;
try { remembered = localStorage.getItem(boot.cookie); } catch { /* private mode */ }
render();
if (!asked && remembered && remembered !== view.person.phone && !document.cookie.includes(`${boot.cookie}=`)) {
  become(remembered).catch(() => connect());
} else {
  remember(view.person);
  connect();
}
