// Smooths the widget: every step works without this. Steps come from the server as whole pages; what is shown is
// always what the server rendered, so there is one place that knows how a step looks.
(() => {
  "use strict";
  const LIVE_PATIENCE = 2000; // ms until a silent live stream is helped out by asking
  const ASK_EVERY = 2000;
  const LISTEN_AGAIN = 5000; // ms after an answer that was no stream: a browser does not try again by itself
  let stream, asking, patience, timers = [], shown = 0, busy = 0;

  const main = () => document.querySelector("main");
  const regions = (page) => page.querySelectorAll("[id^=region-]");

  // A page is parsed by the browser itself, never written as markup by a script: Trusted Types allow none here.
  function load(address, { method = "GET", body } = {}) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open(method, address);
      request.responseType = "document";
      request.setRequestHeader("X-Kodgate-Script", "1");
      request.onerror = fail;
      request.onload = () => {
        const elsewhere = request.getResponseHeader("X-Kodgate-Location");
        const page = request.response;
        if (!elsewhere && !page?.querySelector("main")) return fail();
        done({ elsewhere, page, address: request.responseURL, failed: request.status >= 500 });
      };
      request.send(body);
    });
  }

  function show(page) {
    shown++;
    document.title = page.title;
    document.documentElement.lang = page.documentElement.lang;
    document.documentElement.dir = page.documentElement.dir;
    document.body.className = page.body.className;
    document.body.replaceChildren(...page.body.children);
    start();
    (document.querySelector("[aria-invalid=true]") || first() || document.querySelector("h1"))?.focus();
  }

  const first = () => document.querySelector("[autofocus], [data-autofocus]");

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

  // Where a page asks for a challenge, its script is loaded and begins; `waiting`: the form waits for it.
  const solve = (asks, waiting) => asks && import(asks.dataset.challenge)
    .then((it) => it.solve(asks, waiting)).catch(() => {}); // without, the server says what is missing

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    if (button?.getAttribute("aria-busy")) return;
    button?.setAttribute("aria-busy", "true");
    button?.setAttribute("aria-disabled", "true");
    const challenge = form.querySelector("[data-challenge]");
    if (challenge) await solve(challenge, true);
    if (!form.isConnected) return; // another page came meanwhile
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
  addEventListener("online", () => main().dataset.live && refresh());
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
      for (const { name } of [...old.attributes]) region.hasAttribute(name) || old.removeAttribute(name);
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
    stream.onerror = ({ target }) => {
      clearTimeout(patience);
      patience = setTimeout(ask, LIVE_PATIENCE);
      if (target.readyState === EventSource.CLOSED) timers.push(setTimeout(() => listen(address), LISTEN_AGAIN));
    };
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
    solve(document.querySelector("[data-challenge]"));
    document.querySelector("form[data-by-itself]")?.requestSubmit();
    if (framedBy) tellDone();
    count();
    document.dispatchEvent(new Event("kodgate:step"));
  }

  // A frame: the page around it is the one that the signed state names, and no other hears or says anything.
  const { framedBy } = main().dataset;

  function tell(kodgate, more) {
    if (parent !== window) parent.postMessage({ kodgate, ...more }, framedBy);
  }

  function tellDone() {
    const { verifyToken, partnerState } = main().dataset;
    if (verifyToken) tell("done", { verify_token: verifyToken, state: partnerState });
  }

  function hear({ source, origin, data }) {
    if (source !== parent || origin !== framedBy || !data) return;
    if (data.kodgate === "focus") (first() || document.querySelector("h1"))?.focus();
    if (data.kodgate === "theme") wear(data.scheme);
  }

  function wear(scheme) {
    const media = { light: "not all", dark: "all" }[scheme] || "(prefers-color-scheme: dark)";
    for (const sheet of document.querySelectorAll("[data-dark]")) sheet.media = media;
    document.querySelector("meta[name=color-scheme]").content = { light: "light", dark: "dark" }[scheme] || "light dark";
  }

  if (framedBy) {
    addEventListener("message", hear);
    addEventListener("keydown", (event) => event.key !== "Escape" || event.defaultPrevented || tell("close"));
    new ResizeObserver(() => tell("height", { height: Math.ceil(document.body.getBoundingClientRect().height) }))
      .observe(document.body);
    tell("ready");
  }
  start();
})();
