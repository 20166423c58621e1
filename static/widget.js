// Smooths the widget: every step works without this. Steps come from the server as whole pages; what is shown is
// always what the server rendered, so there is one place that knows how a step looks.
(() => {
  "use strict";
  const LIVE_PATIENCE = 2000; // ms until a silent live stream is helped out by asking
  const ASK_EVERY = 2000;
  let stream, asking, patience, timers = [], shown = 0;

  const main = () => document.querySelector("main");
  const regions = (page) => page.querySelectorAll("[id^=region-]");

  async function load(address, options) {
    const answer = await fetch(address, {
      ...options, headers: { "X-Kodgate-Script": "1" }, credentials: "same-origin",
    });
    const elsewhere = answer.headers.get("X-Kodgate-Location");
    if (elsewhere) return { elsewhere };
    return { page: new DOMParser().parseFromString(await answer.text(), "text/html"), address: answer.url };
  }

  function show(page) {
    document.title = page.title;
    document.documentElement.lang = page.documentElement.lang;
    document.body.replaceChildren(...page.body.children);
    start();
    (document.querySelector("[aria-invalid=true]") || document.querySelector("[autofocus]")
      || document.querySelector("h1"))?.focus();
  }

  async function step(address, options) {
    const mine = ++shown;
    try {
      const next = await load(address, options);
      if (mine !== shown) return;
      if (next.elsewhere) return location.assign(next.elsewhere);
      if (next.address !== location.href && !next.address.endsWith(options?.action || "\0")) {
        history.pushState(null, "", next.address);
      }
      show(next.page);
    } catch {
      if (options?.form) options.form.submit();
      else location.assign(address);
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    if (button?.getAttribute("aria-busy")) return;
    button?.setAttribute("aria-busy", "true");
    const body = new URLSearchParams(new FormData(form, event.submitter));
    step(form.action, { method: "POST", body, form, action: new URL(form.action).pathname });
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a");
    const plain = !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0;
    if (!link || !plain || link.target || link.origin !== location.origin) return;
    if (!link.pathname.startsWith("/widget") || link.search.includes("lang=")) return;
    event.preventDefault();
    step(link.href);
  });

  addEventListener("popstate", () => step(location.href));
  document.addEventListener("visibilitychange", () => document.hidden || main()?.dataset.live && refresh());

  // What changes by itself: only the regions, so that a code being typed stays.
  async function refresh() {
    const mine = shown;
    let next;
    try { next = await load(location.href); } catch { return; }
    if (mine !== shown || !next.page) return;
    const fresh = next.page.querySelector("main");
    if (!fresh?.dataset.live) return show(next.page);
    for (const region of regions(next.page)) {
      const old = document.getElementById(region.id);
      if (!old || old.isEqualNode(region)) continue;
      const had = old.contains(document.activeElement);
      old.replaceWith(region);
      if (had) document.getElementById("code")?.focus();
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
    const tidy = () => field.value.normalize("NFKC").replace(/[^0-9a-z]/gi, "");
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
  }

  start();
})();
