// The phone field: spaces a number as it is typed, follows its country, and opens the list of countries. The server
// reads what is posted by itself; nothing typed is ever refused here. The list is in countries.js.
(() => {
  "use strict";
  const LEAST = 3; // digits of a national number before its spacing can be told
  const CODE = /^(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9]\d\d)/; // ITU-T E.164's lengths
  const byId = (id) => document.getElementById(id);
  const FOREIGN = /[^\d\s()+.\-\u2010-\u2015/]/; // what no number is written with
  const significant = (text) => text.replace(/[^\d+]/g, "");
  const begins = (text, pattern) => new RegExp(`^(?:${pattern})`).test(text);

  // A digit of any script as 0 to 9: those of one script follow each other from its zero.
  function latin(digit) {
    let value = 0;
    const code = digit.codePointAt(0);
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value++;
    return value;
  }
  const plain = (text) => text.normalize("NFKC").replace(/\p{Nd}/gu, latin);

  // The number in something copied: the stretch with the most digits.
  function found(text) {
    const runs = plain(text).match(/[+\d(][\d\s().\-\u2010-\u2015/]*/g) || [];
    const [most = ""] = runs.sort((a, b) => significant(b).length - significant(a).length);
    return /^\s*(\+|00)(?!39)/.test(most) ? most.replace("(0)", "") : most;
  }

  // Spacing. A mask `(3) 3,4-4` is groups of so many digits and what stands between; see web/countries.py.
  function fill(mask, digits, whole) {
    const groups = mask.match(/[\d,]+/g).map((group) => `(\\d{${whole ? group : `0,${group.split(",").pop()}`}})`);
    const parts = digits.match(new RegExp(`^${groups.join("")}$`));
    let group = 0;
    return parts && mask.replace(/[\d,]+/g, () => parts[++group]).replace(/\D+$/, "");
  }

  function spaced(spacings, digits, mask) {
    if (digits.length < LEAST) return null;
    const fitting = spacings.filter((spacing) => spacing[mask] && begins(digits, spacing[0]));
    for (const whole of [true, false]) {
      for (const spacing of fitting) {
        const text = fill(spacing[mask], digits, whole);
        if (text) return { text, trunk: spacing[3] };
      }
    }
    return null;
  }

  const abroad = ([, , spacings], digits) => spaced(spacings, digits, 1)?.text || digits;

  function atHome(plan, digits) {
    const [code, trunk, spacings] = plan;
    const [prefix] = (trunk && digits.match(new RegExp(`^(?:${trunk})`))) || [""];
    const rest = digits.slice(prefix.length);
    if (prefix && rest) {
      const found = spaced(spacings.filter((spacing) => spacing[3]), rest, 2);
      if (found) return prefix + (found.trunk > 1 ? " " : "") + found.text;
    }
    const found = spaced(spacings, digits, 2);
    if (found) return found.text;
    const tail = digits.startsWith(code) && spaced(spacings, digits.slice(code.length), 1); // its plus was left out
    return tail ? `${code} ${tail.text}` : digits;
  }

  function start() {
    const box = document.querySelector(".phone");
    if (!box || box.dataset.ready) return;
    box.dataset.ready = "yes";
    const { address, zones, only } = box.dataset; // only: the countries that this site sends to
    const [field, button, panel, search] = ["to", "country", "countries", "country-search"].map(byId);
    const [itsName, itsLetters, itsCode] = ["country-name", "country-iso", "country-code"].map(byId); // kept: an answer may come late
    const { region, time_zone: clock } = field.form.elements;
    const status = panel.querySelector("[role=status]");
    const plans = new Map();
    const past = [{ value: "", caret: 0 }];
    let plan = JSON.parse(box.dataset.plan), now = 0, touched = false;
    plans.set(plan[0], plan);

    // The country

    async function ask(what) {
      const answer = await fetch(address + what);
      if (!answer.ok) throw new Error(answer.status);
      return answer.json();
    }

    function belongsTo(country) {
      [region.value, itsName.textContent] = country;
      itsLetters.textContent = country[0];
      itsCode.textContent = `+${plan[0]}`;
      field.placeholder = country[3];
    }

    const current = () => plan[3].find(([iso]) => iso === region.value) || plan[3][0];

    // The plan of a calling code: at once where it is held, later, with what stands spaced anew, where it is not.
    function planOf(code) {
      if (!plans.has(code)) {
        plans.set(code, null);
        ask(code).then((plan) => { plans.set(code, plan); show(); past[now].value = field.value; }, () => plans.delete(code));
      }
      return plans.get(code);
    }

    function follow(code, rest) {
      const next = planOf(code);
      if (!next) return null;
      const here = next === plan && current();
      plan = next;
      const told = plan[3].find(([, , leading]) => leading && rest && begins(rest, leading));
      const stays = here && (!here[2] || rest.length < LEAST);
      belongsTo(told || (stays ? here : plan[3][0]));
      return plan;
    }

    // The number

    function format(text) {
      if (FOREIGN.test(text)) return text;
      const digits = significant(text).replace(/^00(?=[1-9])/, "+");
      if (digits.lastIndexOf("+") > 0) return text;
      if (digits[0] !== "+") return atHome(plan, digits);
      const code = digits.slice(1).match(CODE)?.[0];
      if (!code) return digits;
      const rest = digits.slice(code.length + 1);
      const known = follow(code, rest);
      return `+${code} ${known ? abroad(known, rest) : rest}`.trim();
    }

    // Spaces the field anew; the caret stays behind the digit that it was behind.
    function show(before = plain(field.value.slice(0, field.selectionStart))) {
      const focused = document.activeElement === field;
      const text = format(plain(field.value));
      let count = significant(before).replace(/^00(?=[1-9])/, "+").length;
      let caret = 0;
      while (count && caret < text.length) if (/[\d+]/.test(text[caret++])) count--;
      if (FOREIGN.test(text)) caret = before.length;
      if (text !== field.value) {
        field.value = text;
        if (focused) field.setSelectionRange(caret, caret);
      }
    }

    function note() {
      const { value, selectionStart: caret } = field;
      if (past[now].value !== value) past.splice(++now, past.length, { value, caret });
    }

    // Taking away a space alone would bring it back: the digit beside it goes with it.
    function taken({ inputType }) {
      const last = past[now].value;
      if (!/^delete/.test(inputType) || field.value.length >= last.length) return;
      if (significant(field.value) !== significant(last)) return;
      const caret = field.selectionStart;
      const before = field.value.slice(0, caret), after = field.value.slice(caret);
      const [left, right] = /Forward/.test(inputType)
        ? [before, after.replace(/[\d+]/, "")] : [before.replace(/[\d+](?=[^\d+]*$)/, ""), after];
      field.value = left + right;
      field.setSelectionRange(left.length, left.length);
    }

    field.addEventListener("input", (event) => {
      touched = true;
      if (event.isComposing) return;
      taken(event);
      show();
      note();
    });
    field.addEventListener("compositionend", () => { show(); note(); });

    field.addEventListener("paste", (event) => {
      const text = found(event.clipboardData?.getData("text") || "");
      if (!significant(text)) return;
      event.preventDefault();
      const whole = /^\s*(\+|00[1-9])/.test(text);
      const [from, to] = whole ? [0, field.value.length] : [field.selectionStart, field.selectionEnd];
      field.setRangeText(text.trim(), from, to, "end");
      touched = true;
      show();
      note();
    });

    // Setting a field's value empties the browser's own memory of it.
    field.addEventListener("keydown", (event) => {
      const key = event.key.toLowerCase();
      if (!(event.ctrlKey || event.metaKey) || event.altKey || !/^[zy]$/.test(key)) return;
      event.preventDefault();
      now = Math.min(past.length - 1, Math.max(0, now + (key === "y" || event.shiftKey ? 1 : -1)));
      field.value = past[now].value;
      field.setSelectionRange(past[now].caret, past[now].caret);
      format(field.value);
    });

    // The list of countries, which comes when it is wanted

    let opened;

    function open() {
      panel.hidden = false;
      button.setAttribute("aria-expanded", "true");
      search.value = "";
      search.focus();
      opened ??= import(box.dataset.list).then((list) => list.open({ panel, search, status, region, only, ask, choose }));
      opened.then((filter) => filter()).catch(() => {
        opened = null;
        status.textContent = status.dataset.away;
      });
    }

    function close(then) {
      panel.hidden = true;
      button.setAttribute("aria-expanded", "false");
      then?.focus();
    }

    function choose([iso, code, name]) {
      const settle = (next) => {
        const digits = significant(field.value);
        const rest = digits.slice(1).replace(CODE, "");
        plan = next;
        belongsTo(plan[3].find(([one]) => one === iso) || [iso, name, "", ""]);
        if (digits[0] === "+") field.value = `+${code}${rest}`;
        show(field.value);
        note();
      };
      const bare = [code, "", [], [[iso, name, "", ""]]]; // until its plan is here, or if it never comes
      touched = true;
      settle(plans.get(code) || bare);
      if (plan === bare) {
        ask(code).then((next) => { plans.set(code, next); if (plan === bare) settle(next); }, () => {});
      }
      close(field);
    }

    button.addEventListener("click", () => (panel.hidden ? open() : close(button)));
    button.addEventListener("keydown", (event) => {
      const letter = /^[\p{L}+\d]$/u.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey;
      if (event.key === "ArrowDown") event.preventDefault();
      if (letter || event.key === "ArrowDown") open(); // a letter goes on into the search
    });
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // the list's alone: another one closes the dialog around
      close(button);
    });
    panel.addEventListener("focusout", ({ relatedTarget: to }) => {
      if (to && to !== button && !panel.contains(to)) close();
    });

    // The guess

    clock.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
    if (zones && clock.value.includes("/") && !zones.split(" ").includes(clock.value)) {
      ask(`zone/${clock.value}`).then((better) => {
        if (!better || touched || significant(field.value) || (only && !only.split(" ").includes(better[0]))) return;
        [region.value, plan] = better;
        plans.set(plan[0], plan);
        belongsTo(current());
      }, () => {});
    }
    belongsTo(current());
    show();
    past[0] = { value: field.value, caret: field.value.length };
    addEventListener("pageshow", () => show(), { once: true }); // a browser gives back what was typed before
  }

  document.addEventListener("kodgate:step", start);
  start();
})();
