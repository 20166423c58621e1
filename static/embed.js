// The login on a partner's page: docs/embedding.md. It stores nothing.
(() => {
  "use strict";
  const READY_WITHIN = 6000; // ms, or a link to the full page is shown
  const script = document.currentScript;
  const home = new URL(script.src).origin;
  const WORDS = {
    en: "Log in|Close",
    ru: "Войти|Закрыть",
    uk: "Увійти|Закрити",
    kk: "Кіру|Жабу",
    uz: "Kirish|Yopish",
    es: "Entrar|Cerrar",
    de: "Anmelden|Schließen",
    tr: "Giriş yap|Kapat",
  };
  const frames = new Set();

  function words(lang) {
    const known = [lang, document.documentElement.lang, ...navigator.languages].find((tag) => WORDS[tag?.slice(0, 2)]);
    return (WORDS[known?.slice(0, 2)] || WORDS.en).split("|");
  }

  function address(options, more) {
    const { key, returnTo, state, flow, lang, theme, accent, radius, font, to } = options;
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const back = returnTo && new URL(returnTo, location).href;
    const given = { key, return_to: back, state, flow, lang, theme, accent, radius, font, to, tz, ...more };
    const url = new URL("/widget/", home);
    for (const [name, value] of Object.entries(given)) if (value) url.searchParams.set(name, value);
    return url.href;
  }

  // The page's CSS may say it: --kodgate-accent, …
  function styled(options) {
    const style = getComputedStyle(script.parentElement || document.body);
    for (const name of ["theme", "accent", "radius", "font"]) {
      options[name] ||= style.getPropertyValue(`--kodgate-${name}`).trim();
    }
    return options;
  }

  function make(tag, css = "", properties) {
    const element = document.createElement(tag);
    element.style.cssText = css;
    return Object.assign(element, properties);
  }

  function inkOn(accent) {
    const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(accent.slice(at, at + 2), 16) / 255) ** 2.2);
    return red * 0.21 + green * 0.72 + blue * 0.07 > 0.18 ? "#000" : "#fff";
  }

  const page = (options) => address({ ...options, returnTo: options.returnTo || location.href.split("#")[0] });

  const failure = (name) => Object.assign(new Error(name), { name });

  // A frame. `done` hears {verify_token, state}, `blocked` whether it is late.
  function show(options, place, done, blocked) {
    const label = words(options.lang)[0];
    const frame = make("iframe", "display:block;width:100%;height:27rem;border:0", {
      title: label, allow: "otp-credentials", src: address(options, { origin: location.origin }),
    });
    const link = make("a", "display:block;padding:1rem;text-align:center", {
      textContent: `${label} ↗`, href: page(options), target: "_top",
    });
    const gone = new AbortController();
    const patience = setTimeout(() => {
      place.append(link);
      blocked(true);
    }, READY_WITHIN);
    addEventListener("message", ({ origin, source, data }) => {
      if (origin !== home || source !== frame.contentWindow || !data) return;
      if (data.kodgate === "ready") {
        clearTimeout(patience);
        link.remove();
        blocked(false);
        if (place.open) frame.contentWindow.postMessage({ kodgate: "focus" }, home);
      } else if (data.kodgate === "height" && data.height > 0) {
        frame.style.height = `${data.height}px`;
      } else if (data.kodgate === "close") {
        place.close?.();
      } else if (data.kodgate === "done" && data.state === String(options.state || "")) {
        gone.abort();
        done({ verify_token: data.verify_token, state: data.state });
      }
    }, { signal: gone.signal });
    frames.add(frame);
    place.append(frame);
    return () => {
      clearTimeout(patience);
      gone.abort();
      frames.delete(frame);
      frame.remove();
      link.remove();
    };
  }

  function modal(options, done, fail) {
    const [label, close] = words(options.lang);
    const dialog = make("dialog", "box-sizing:border-box;width:min(27rem,100vw - 1rem);max-width:none;"
      + "max-height:94dvh;margin-top:3dvh;padding:0;border:1px solid transparent;border-radius:20px;overflow:auto;background:Canvas;"
      + "box-shadow:0 0 0 100vmax rgb(0 0 0/45%)", { ariaLabel: label });
    dialog.style.colorScheme = /light|dark/.test(options.theme) ? options.theme : "light dark";
    document.body.append(dialog);
    let why = "KodgateClosed";
    const remove = show(options, dialog, (result) => {
      why = "";
      dialog.close();
      done(result);
    }, (blocked) => { why = blocked ? "KodgateBlocked" : "KodgateClosed"; });
    dialog.append(make("button", "position:absolute;inset-block-start:.4rem;inset-inline-end:.4rem;width:2.75rem;"
      + "height:2.75rem;padding:0;border:1px solid transparent;border-radius:50%;background:none;color:CanvasText;cursor:pointer;"
      + "font:1.6rem/1 system-ui,sans-serif", {
      type: "button", textContent: "×", ariaLabel: close, onclick: () => dialog.close(),
    }));
    dialog.addEventListener("close", () => {
      remove();
      dialog.remove();
      if (why) fail(failure(why));
    });
    dialog.showModal();
  }

  function placeOf(options) {
    const { target } = options;
    const found = target?.append ? target : target && document.querySelector(target);
    if (found) return found;
    const place = make("div");
    script.after(place);
    return place;
  }

  function begin(options, done, fail) {
    if (options.mode === "redirect") {
      location.assign(page(options));
    } else if (options.mode === "inline") {
      show(options, placeOf(options), done, (blocked) => blocked && fail(failure("KodgateBlocked")));
    } else {
      modal(options, done, fail);
    }
  }

  function open(options) {
    return new Promise((done, fail) => begin(styled({ ...script.dataset, mode: "", ...options }), done, fail));
  }

  // What the tag asks for: open, tell the page, go on.
  function run(options, teller) {
    begin(options, (result) => {
      teller.dispatchEvent(new CustomEvent("kodgate:done", { bubbles: true, detail: result }));
      if (!options.returnTo) return;
      const back = new URL(options.returnTo, location.href);
      for (const [name, value] of Object.entries(result)) if (value) back.searchParams.set(name, value);
      location.assign(back);
    }, console.warn);
  }

  function start() {
    const options = styled({ ...script.dataset });
    if (options.target && !document.querySelector(options.target) && document.readyState === "loading") {
      return addEventListener("DOMContentLoaded", start, { once: true });
    }
    const form = script.closest("form");
    if (form?.action.startsWith(`${home}/widget`)) {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const { return_to: returnTo, ...asked } = Object.fromEntries(new FormData(form));
        run({ ...options, ...asked, returnTo, mode: "" }, form);
      });
    } else if (options.mode === "inline") {
      run(options, script);
    } else if (options.key) {
      const accent = options.accent || "#3b3fd8";
      const button = make("button", `padding:.75em 1.5em;border:1px solid transparent;border-radius:${options.radius || 12}px;`
        + `background:${accent};color:${inkOn(accent)};cursor:pointer;`
        + `font:600 1em ${options.font || "system-ui"},sans-serif`, {
        type: "button", textContent: options.label || words(options.lang)[0],
        onclick: () => run(options, script),
      });
      placeOf(options).append(button);
    }
  }

  window.Kodgate = {
    open,
    theme: (scheme) => frames.forEach((frame) => frame.contentWindow?.postMessage({ kodgate: "theme", scheme }, home)),
  };
  start();
})();
