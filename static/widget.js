// Smooths the widget: every step works without this. Steps come from the server as whole pages; what is shown is
// always what the server rendered, so there is one place that knows how a step looks.
(() => {
  "use strict";
  const LIVE_PATIENCE = 2000; // ms until a silent live stream is helped out by asking
  const ASK_EVERY = 2000;
  const LISTEN_AGAIN = 5000; // ms after an answer that was no stream: a browser does not try again by itself
  const LOOK_PATIENCE = 10000; // ms: a request that began in another network never ends by itself
  const STEP_PATIENCE = 35000; // longer than a server waits for somebody else: an account is asked up to three times
  const TRIES = [500, 1000, 2000, 4000, 8000]; // ms before a lost form is sent again: a server restarts in less
  let stream, asking, patience, timers = [], shown = 0, busy = 0, looking = false, again = false;
  const waits = new Map(); // buttons that count down

  const main = () => document.querySelector("main");
  // A frame: the page around it is the one that the signed state names, and no other hears or says anything.
  const { framedBy } = main().dataset;
  const regions = (page) => page.querySelectorAll("[id^=region-]");

  // A page is parsed by the browser itself, never written as markup by a script: Trusted Types allow none here.
  function load(address, { method = "GET", body, timeout = STEP_PATIENCE } = {}) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.open(method, address);
      request.responseType = "document";
      request.timeout = timeout;
      request.setRequestHeader("X-Kodgate-Script", "1");
      request.onerror = request.ontimeout = fail;
      request.onload = () => {
        const elsewhere = request.getResponseHeader("X-Kodgate-Location");
        const page = request.response;
        if (!elsewhere && !page?.querySelector("main")) return fail();
        done({ elsewhere, page, address: request.responseURL, failed: request.status >= 500 || request.status === 429 });
      };
      request.send(body);
    });
  }

  function show(page) {
    shown++;
    const mayFocus = !framedBy || document.hasFocus() || document.activeElement !== document.body; // not from the page around
    document.title = page.title;
    document.documentElement.lang = page.documentElement.lang;
    document.documentElement.dir = page.documentElement.dir;
    document.body.className = page.body.className;
    document.body.replaceChildren(...page.body.children);
    start();
    if (mayFocus) (document.querySelector("[aria-invalid=true]") || first() || document.querySelector("h1"))?.focus();
  }

  const first = () => document.querySelector("[autofocus], [data-autofocus]");

  async function step(address, options) {
    const mine = ++shown;
    let next;
    busy++; // what arrives by itself meanwhile is about a page that is going
    try {
      next = await insist(address, options);
    } catch {
      if (mine === shown) return leave(address, options);
      next = {};
    }
    if (next.elsewhere && mine === shown) return location.assign(next.elsewhere);
    busy--;
    if (mine !== shown) return;
    const answer = next.address.endsWith(options?.action || "\0"); // to the form itself: it has no address of its own
    if (captcha(next.page) && !captcha(document)) return leave(address, options); // this page's policy has no room for it
    if (lacks(next.page) || (!answer && strangers())) return location.assign(next.address);
    if (next.address !== location.href && !answer) {
      history.pushState(null, "", next.address);
    }
    show(next.page);
  }

  const captcha = (page) => page.querySelector("[data-challenge][data-script]");

  // Whether a step comes with a script that this page was loaded without: then the browser loads it all.
  function lacks(page) {
    const sources = (from) => [...from.scripts].map((script) => script.getAttribute("src"));
    const held = sources(document);
    return sources(page).some((source) => source && !held.includes(source));
  }

  // A CAPTCHA's script of somebody else's shall see neither the code nor the token: what follows is a page without it.
  function strangers() {
    return [...document.scripts].some(({ src }) => src && new URL(src).origin !== location.origin);
  }

  // A server that restarts or a phone without a network for a moment: what was typed stays until it's through.
  async function insist(address, options) {
    const notice = document.querySelector(".offline");
    try {
      for (const pause of TRIES) {
        try {
          return await load(address, options);
        } catch {
          notice.textContent = notice.dataset.words;
          await online(pause);
        }
      }
      return await load(address, options);
    } finally {
      notice.textContent = "";
    }
  }

  async function online(pause) {
    if (!navigator.onLine) await new Promise((done) => addEventListener("online", done, { once: true }));
    await new Promise((done) => setTimeout(done, pause));
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
    if (form.method !== "post" || !("submitter" in event)) return; // Safari before 15.4 doesn't say what was pressed
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    if (button?.getAttribute("aria-busy")) return;
    button?.setAttribute("aria-busy", "true");
    button?.setAttribute("aria-disabled", "true");
    const challenge = form.querySelector("[data-challenge]");
    if (challenge) await solve(challenge, true);
    if (!form.isConnected) return; // another page came meanwhile
    const body = new URLSearchParams(new FormData(form));
    if (button?.name) body.set(button.name, button.value);
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
  addEventListener("online", wake);
  document.addEventListener("resume", wake);
  document.addEventListener("visibilitychange", () => document.hidden || wake());

  // After a sleep or in another network, a stream may be dead and not know it.
  function wake() {
    const { live } = main().dataset;
    if (!live) return;
    listen(live);
    refresh();
  }

  // What changes by itself. One look at a time: answers that overtake each other would show what was.
  async function refresh() {
    again = true;
    if (looking) return;
    looking = true;
    let seen;
    while (again) {
      again = false;
      seen = await look();
    }
    looking = false;
    if (!seen) timers.push(setTimeout(refresh, ASK_EVERY)); // what came to tell of it will not come again
  }

  async function look() {
    const mine = shown;
    let next;
    try { next = await load(location.href, { timeout: LOOK_PATIENCE }); } catch { return mine !== shown; }
    if (busy || mine !== shown) return true;
    if (next.failed) return false;
    waits.clear(); // the fresh page says anew what must wait
    if (!next.page.querySelector("main").dataset.live) show(next.page);
    else for (const region of regions(next.page)) become(document.getElementById(region.id), region);
    count();
    return true;
  }

  // Only what differs is touched, in the same elements: so that a click, the focus and what is typed stay, nothing
  // flickers, and a role=status is read out.
  function become(old, next) {
    if (!old || old.isEqualNode(next)) return;
    if (old.nodeName !== next.nodeName) return old.replaceWith(next);
    if (!old.attributes) return void (old.data = next.data);
    for (const { name } of [...old.attributes]) next.hasAttribute(name) || old.removeAttribute(name);
    for (const { name, value } of next.attributes) old.getAttribute(name) === value || old.setAttribute(name, value);
    const [before, after] = [[...old.childNodes], [...next.childNodes]];
    if (before.length === after.length) return before.forEach((child, place) => become(child, after[place]));
    const had = old.contains(document.activeElement) && document.activeElement;
    old.replaceChildren(...after);
    if (had) (old.querySelector(`[value="${had.value}"]:enabled`) || document.getElementById("code"))?.focus();
  }

  function ask() {
    if (!asking) asking = setInterval(() => document.hidden || refresh(), ASK_EVERY);
  }

  function quiet() {
    clearTimeout(patience);
    clearInterval(asking);
    asking = patience = undefined;
  }

  function listen(address) {
    stream?.close();
    const mine = stream = new EventSource(address);
    patience ??= setTimeout(ask, LIVE_PATIENCE);
    mine.onerror = () => {
      patience ??= setTimeout(ask, LIVE_PATIENCE); // not anew at every error: a browser tries more often than that
      if (mine.readyState !== EventSource.CLOSED) return;
      timers.push(setTimeout(() => mine === stream && listen(address), LISTEN_AGAIN));
    };
    mine.addEventListener("progress", () => {
      quiet(); // not when it opens: a proxy may hold back what follows
      refresh(); // even with the same words: not all that a page shows is in them
    });
  }

  // Countdowns: the page says how many seconds were left when it was made.
  function count() {
    for (const button of document.querySelectorAll("[data-wait]")) {
      waits.set(button, { end: Date.now() + button.dataset.wait * 1000, words: button.querySelector(".wait").textContent });
      delete button.dataset.wait;
    }
    tick();
  }

  function tick() {
    for (const [button, { end, words }] of waits) {
      const left = Math.ceil((end - Date.now()) / 1000);
      const label = button.querySelector(".wait");
      button.disabled = left > 0;
      if (label) label.textContent = left > 0 ? words.replace(/\d+/, left) : "";
      if (left <= 0 || !button.isConnected) waits.delete(button);
    }
  }

  function code(form) {
    const field = form.querySelector(".code");
    const foreign = field.inputMode === "numeric" ? /\P{Nd}/gu : /[^\p{Nd}a-z]/giu; // digits of any script: the server reads them
    const tidy = () => { // a whole message may have been pasted
      const text = field.value.normalize("NFKC");
      const words = text.split(/[^\p{Nd}a-z]+/iu).filter((word) => word.length == form.dataset.code && /\p{Nd}/u.test(word));
      return words.find((word) => !word.match(foreign)) ?? text.replace(foreign, "");
    };
    const complete = () => {
      if (tidy().length < form.dataset.code) return;
      field.value = tidy();
      form.querySelector("button").click();
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
    quiet();
    again = false; // what there was to look for belongs to the page that went
    timers.forEach(clearTimeout);
    waits.clear();
    timers = [setInterval(tick, 1000)];
    const { live, expiresIn, here } = main().dataset;
    if (here && location.pathname !== here.split("?")[0]) history.replaceState(null, "", here); // after a plain POST
    if (live) listen(live);
    if (expiresIn) timers.push(setTimeout(refresh, expiresIn * 1000 + 1100));
    const form = document.querySelector("form[data-code]");
    if (form) code(form);
    solve(document.querySelector("[data-challenge]"));
    document.querySelector("form[data-by-itself] button")?.click();
    if (framedBy) tellDone();
    count();
    document.dispatchEvent(new Event("kodgate:step"));
  }

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

  const { complaints } = main().dataset;
  if (complaints) console.warn(`Kodgate: ${complaints}`);

  if (framedBy) {
    addEventListener("message", hear);
    addEventListener("keydown", (event) => event.key !== "Escape" || event.defaultPrevented || tell("close"));
    new ResizeObserver(() => tell("height", { height: Math.ceil(document.body.getBoundingClientRect().height) }))
      .observe(document.body);
    tell("ready");
  }
  start();
})();
