// Kodgate's login on a partner's page: see docs/embedding.md. It stores nothing and styles only what it adds.
(() => {
  "use strict";
  const READY_WITHIN = 6000; // ms until a silent frame gets a link to the full page
  const script = document.currentScript;
  const home = new URL(script.src).origin;
  const WORDS = {
    en: ["Log in", "Close"],
    ru: ["Войти", "Закрыть"],
    uk: ["Увійти", "Закрити"],
    kk: ["Кіру", "Жабу"],
    uz: ["Kirish", "Yopish"],
    es: ["Entrar", "Cerrar"],
    de: ["Anmelden", "Schließen"],
    tr: ["Giriş yap", "Kapat"],
  };
  const frames = new Set();

  function words(lang) {
    const known = [lang, document.documentElement.lang, ...navigator.languages].find((tag) => WORDS[tag?.slice(0, 2)]);
    return WORDS[known?.slice(0, 2)] || WORDS.en;
  }

  function address(options, more) {
    const { key, returnTo, state, flow, lang, theme, accent, radius, font } = options;
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const back = returnTo && new URL(returnTo, location).href;
    const given = { key, return_to: back, state, flow, lang, theme, accent, radius, font, tz, ...more };
    const url = new URL("/widget/", home);
    for (const [name, value] of Object.entries(given)) if (value) url.searchParams.set(name, value);
    return url.href;
  }

  // What is left open, the page's CSS may say: --kodgate-accent, …
  function styled(options) {
    const style = getComputedStyle(script.parentElement);
    for (const name of ["theme", "accent", "radius", "font"]) {
      options[name] ||= style.getPropertyValue(`--kodgate-${name}`).trim();
    }
    return options;
  }

  function make(tag, css, properties) {
    const element = Object.assign(document.createElement(tag), properties);
    element.style.cssText = css;
    return element;
  }

  function inkOn(accent) {
    const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(accent.slice(at, at + 2), 16) / 255) ** 2.2);
    return red * 0.21 + green * 0.72 + blue * 0.07 > 0.18 ? "#000" : "#fff";
  }

  const page = (options) => address({ returnTo: location.href.split("#")[0], ...options });

  const failure = (name) => Object.assign(new Error(name), { name });

  // A frame in `place`, and what becomes of it: {verify_token, state}.
  function show(options, place) {
    const [label] = words(options.lang);
    const frame = make("iframe", "display:block;width:100%;height:27rem;border:0", {
      title: label, allow: "otp-credentials", src: address(options, { origin: location.origin }),
    });
    const link = make("a", "display:block;padding:1rem;text-align:center", {
      textContent: `${label} ↗`, href: page(options), target: "_top",
    });
    let patience;
    const gone = new AbortController();
    const outcome = new Promise((done, fail) => {
      patience = setTimeout(() => {
        place.append(link);
        fail(failure("KodgateBlocked"));
      }, READY_WITHIN);
      addEventListener("message", ({ origin, source, data }) => {
        if (origin !== home || source !== frame.contentWindow || !data) return;
        if (data.kodgate === "ready") {
          clearTimeout(patience);
          link.remove();
          if (place.open) frame.contentWindow.postMessage({ kodgate: "focus" }, home);
        } else if (data.kodgate === "height" && data.height > 0) {
          frame.style.height = `${data.height}px`;
        } else if (data.kodgate === "close") {
          place.close?.();
        } else if (data.kodgate === "done" && data.state === (options.state || "")) {
          done({ verify_token: data.verify_token, state: data.state });
        }
      }, { signal: gone.signal });
    });
    frames.add(frame);
    place.append(frame);
    const remove = () => {
      clearTimeout(patience);
      gone.abort();
      frames.delete(frame);
      frame.remove();
      link.remove();
    };
    return { outcome, remove };
  }

  function modal(options) {
    const [label, close] = words(options.lang);
    const dialog = make("dialog", "box-sizing:border-box;width:min(27rem,calc(100vw - 1rem));max-width:none;"
      + "max-height:calc(100dvh - 1rem);padding:0;border:1px solid transparent;border-radius:20px;overflow:auto;background:Canvas;"
      + "box-shadow:0 0 0 100vmax rgb(0 0 0/45%)", { ariaLabel: label });
    dialog.style.colorScheme = /light|dark/.test(options.theme) ? options.theme : "light dark";
    document.body.append(dialog);
    return new Promise((done, fail) => {
      let why = "KodgateClosed";
      const { outcome, remove } = show(options, dialog);
      dialog.append(make("button", "position:absolute;inset-block-start:.4rem;inset-inline-end:.4rem;width:2.75rem;"
        + "height:2.75rem;padding:0;border:1px solid transparent;border-radius:50%;background:none;color:CanvasText;cursor:pointer;"
        + "font:1.6rem/1 system-ui,sans-serif", {
        type: "button", textContent: "×", ariaLabel: close, onclick: () => dialog.close(),
      }));
      dialog.addEventListener("close", () => {
        remove();
        dialog.remove();
        fail(failure(why));
      });
      outcome.then((result) => {
        done(result);
        dialog.close();
      }, () => { why = "KodgateBlocked"; });
      dialog.showModal();
    });
  }

  function placeOf(options) {
    const { target } = options;
    const found = typeof target === "string" ? document.querySelector(target) : target;
    if (found) return found;
    const place = document.createElement("div");
    script.after(place);
    return place;
  }

  const WAYS = {
    modal,
    inline: (options) => show(options, placeOf(options)).outcome,
    redirect: (options) => new Promise(() => location.assign(page(options))),
  };

  function open(options) {
    return WAYS[options.mode || "modal"](styled({ ...script.dataset, ...options }));
  }

  // What the script tag asks for: open, tell the page, go on.
  async function run(options, teller) {
    const result = await open(options).catch((problem) => console.warn(`Kodgate: ${problem.name}`));
    if (!result) return;
    teller.dispatchEvent(new CustomEvent("kodgate:done", { bubbles: true, detail: result }));
    if (!options.returnTo) return;
    const back = new URL(options.returnTo, location.href);
    for (const [name, value] of Object.entries(result)) if (value) back.searchParams.set(name, value);
    location.assign(back);
  }

  function begin() {
    const options = styled({ ...script.dataset });
    const form = script.closest("form");
    if (form?.action.startsWith(`${home}/widget`)) {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const { key, return_to: returnTo, state } = Object.fromEntries(new FormData(form));
        run({ ...options, key, returnTo, state, mode: "modal" }, form);
      });
    } else if (options.mode === "inline") {
      run(options, script);
    } else if (options.key) {
      const accent = options.accent || "#3b3fd8";
      const button = make("button", `padding:.75em 1.5em;border:1px solid transparent;border-radius:${options.radius || 12}px;`
        + `background:${accent};color:${inkOn(accent)};cursor:pointer;`
        + `font:600 1em ${options.font || "system-ui"},sans-serif`, {
        type: "button", textContent: options.label || words(options.lang)[0],
        onclick: () => run({ ...options, mode: options.mode === "redirect" ? "redirect" : "modal" }, script),
      });
      placeOf(options).append(button);
    }
  }

  window.Kodgate = {
    open,
    theme: (scheme) => frames.forEach((frame) => frame.contentWindow.postMessage({ kodgate: "theme", scheme }, home)),
  };
  begin();
})();
