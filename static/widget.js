// Smooths the widget: every step works without this. Steps come from the server as whole pages; what is shown is
// always what the server rendered, so there is one place that knows how a step looks.
(() => {
  "use strict";
  const LIVE_PATIENCE = 2000; // ms until a silent live stream is helped out by asking
  const ASK_EVERY = 2000;
  let stream, asking, patience, timers = [], shown = 0, busy = 0;

  const main = () => document.querySelector("main");
  const regions = (page) => page.querySelectorAll("[id^=region-]");

  async function load(address, options) {
    const answer = await fetch(address, {
      ...options, headers: { "X-Kodgate-Script": "1" }, credentials: "same-origin",
    });
    const elsewhere = answer.headers.get("X-Kodgate-Location");
    if (elsewhere) return { elsewhere };
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { page, address: answer.url, failed: answer.status >= 500 };
  }

  function show(page) {
    shown++;
    document.title = page.title;
    document.documentElement.lang = page.documentElement.lang;
    document.body.className = page.body.className;
    document.body.replaceChildren(...page.body.children);
    start();
    (document.querySelector("[aria-invalid=true]") || document.querySelector("[autofocus]")
      || document.querySelector("h1"))?.focus();
  }

  async function step(address, options) {
    const mine = ++shown;
    let next;
    busy++; // what arrives by itself meanwhile is about a page that is going
    try {
      next = await load(address, options);
    } catch {
      return leave(address, options);
    }
    if (next.elsewhere && mine === shown) return location.assign(next.elsewhere);
    busy--;
    if (mine !== shown) return;
    if (lacks(next.page)) return location.assign(next.address);
    if (next.address !== location.href && !next.address.endsWith(options?.action || "\0")) {
      history.pushState(null, "", next.address);
    }
    show(next.page);
  }

  // Whether a step comes with a script that this page was loaded without: then the browser loads it all.
  function lacks(page) {
    const sources = (from) => [...from.scripts].map((script) => script.getAttribute("src"));
    const held = sources(document);
    return sources(page).some((source) => source && !held.includes(source));
  }

  // The plain way, when the request did not come through.
  function leave(address, options) {
    if (!options) return location.assign(address);
    const { form, button } = options;
    if (button?.name) { // what was pressed, too: submit() leaves it out
      const { name, value } = button;
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    form.submit();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    if (button?.getAttribute("aria-busy")) return;
    button?.setAttribute("aria-busy", "true");
    const body = new URLSearchParams(new FormData(form, event.submitter));
    step(form.action, { method: "POST", body, form, button, action: new URL(form.action).pathname });
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a");
    const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
    if (!link || !plain || link.target || link.origin !== location.origin) return;
    if (!link.pathname.startsWith("/widget") || link.search.includes("lang=")) return;
    event.preventDefault();
    step(link.href);
  });

  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("popstate", () => step(location.href));
  document.addEventListener("visibilitychange", () => document.hidden || main()?.dataset.live && refresh());

  // What changes by itself: only the regions, so that a code being typed stays.
  async function refresh() {
    const mine = shown;
    let next;
    try { next = await load(location.href); } catch { return; }
    if (busy || mine !== shown || next.failed || !next.page) return;
    const fresh = next.page.querySelector("main");
    if (!fresh?.dataset.live) return show(next.page);
    for (const region of regions(next.page)) {
      const old = document.getElementById(region.id);
      if (!old || old.isEqualNode(region)) continue;
      const had = old.contains(document.activeElement) && document.activeElement;
      for (const { name, value } of region.attributes) old.setAttribute(name, value);
      old.replaceChildren(...region.childNodes); // within the same element: else a role=status is not read out
      if (had) (old.querySelector(`[value="${had.value}"]:enabled`) || document.getElementById("code"))?.focus();
    }
    count();
  }

  function ask() {
    if (!asking) asking = setInterval(() => document.hidden || refresh(), ASK_EVERY);
  }

  function listen(address) {
    let last;
    stream = new EventSource(address);
    patience = setTimeout(ask, LIVE_PATIENCE);
    stream.onopen = () => { clearTimeout(patience); clearInterval(asking); asking = undefined; };
    stream.onerror = () => { clearTimeout(patience); patience = setTimeout(ask, LIVE_PATIENCE); };
    stream.addEventListener("progress", (event) => {
      if (last !== event.data) refresh();
      last = event.data;
    });
  }

  // Countdowns: the page says how many seconds were left when it was made.
  function count() {
    for (const button of document.querySelectorAll("[data-wait]")) {
      const end = Date.now() + button.dataset.wait * 1000;
      const label = button.querySelector(".wait");
      const words = label.textContent;
      const tick = () => {
        const left = Math.ceil((end - Date.now()) / 1000);
        button.disabled = left > 0;
        label.textContent = left > 0 ? words.replace(/\d+/, left) : "";
        if (left <= 0) clearInterval(timer);
      };
      const timer = setInterval(tick, 1000);
      timers.push(timer);
      delete button.dataset.wait;
      tick();
    }
  }

  function code(form) {
    const field = form.querySelector(".code");
    const alone = new RegExp(`(?<![0-9a-z])[0-9]{${form.dataset.code}}(?![0-9a-z])`, "i");
    const tidy = () => { // a whole message may have been pasted
      const text = field.value.normalize("NFKC");
      return text.match(alone)?.[0] ?? text.replace(/[^0-9a-z]/gi, "");
    };
    const complete = () => {
      if (tidy().length < form.dataset.code) return;
      field.value = tidy();
      form.requestSubmit();
    };
    field.addEventListener("input", complete);
    if ("OTPCredential" in window) {
      const stop = new AbortController();
      form.addEventListener("submit", () => stop.abort());
      navigator.credentials.get({ otp: { transport: ["sms"] }, signal: stop.signal })
        .then((found) => { field.value = found.code; complete(); }, () => {});
    }
  }

  function start() {
    stream?.close();
    clearTimeout(patience);
    clearInterval(asking);
    asking = undefined;
    timers.forEach(clearTimeout);
    timers = [];
    const { live, expiresIn } = main().dataset;
    if (live) listen(live);
    if (expiresIn) timers.push(setTimeout(refresh, expiresIn * 1000 + 1100));
    const form = document.querySelector("form[data-code]");
    if (form) code(form);
    count();
    document.dispatchEvent(new Event("kodgate:step"));
  }

  start();
})();
