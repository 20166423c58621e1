// The list of countries behind the phone field's button: phone.js loads it when it is opened first.

const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// How well a country fits what is searched for: 0 best, 9 not at all.
function rank({ iso, code, words }, sought) {
  const number = sought.match(/^(?:\+|00)?(\d+)$/)?.[1];
  if (number) return code === number ? 0 : code.startsWith(number) ? 1 : 9;
  if (iso.toLowerCase() === sought) return 0;
  if (words.some((word) => word.startsWith(sought))) return 1;
  if (words.some((word) => word.split(/[^\p{L}]+/u).some((part) => part.startsWith(sought)))) return 2;
  return words.some((word) => word.includes(sought)) ? 3 : 9;
}

// Resolves to a function that shows what fits the search, once the list is here.
export async function open({ panel, search, status, region, only, ask, choose }) {
  const got = await ask("");
  const offered = ([iso]) => !only || only.split(" ").includes(iso);
  const list = panel.querySelector("[role=listbox]");
  const english = new Intl.DisplayNames(["en"], { type: "region" });
  const { compare } = new Intl.Collator(document.documentElement.lang);
  const first = [...new Set([region.value, ...got.frequent])].filter((iso) => offered([iso]));
  const place = (iso) => first.indexOf(iso) + 1 || Infinity;
  const countries = got.countries.filter(offered).map(([iso, code, name]) => ({
    iso, code, name, place: place(iso), words: [name, english.of(iso)].map(fold), item: option(iso, code, name),
  }));
  countries.sort((a, b) => (a.place === b.place ? compare(a.name, b.name) : a.place - b.place));
  if (first.length < countries.length) countries[first.length].item.className = "rest";
  let active;

  function option(iso, code, name) {
    const item = document.createElement("li");
    const number = document.createElement("span");
    item.id = `country-${iso}`;
    item.setAttribute("role", "option");
    number.textContent = `+${code}`;
    number.dir = "ltr";
    item.append(name, " ", number);
    return item;
  }

  function mark(country) {
    active?.item.removeAttribute("data-active");
    active = country;
    if (!country) return search.removeAttribute("aria-activedescendant");
    country.item.setAttribute("data-active", "yes");
    country.item.scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", country.item.id);
  }

  const shown = () => [...list.children].map((item) => countries.find((country) => country.item === item));

  function filter() {
    const sought = fold(search.value).trim();
    const fitting = !sought ? countries : countries.map((country) => ({ country, fits: rank(country, sought) }))
      .filter(({ fits }) => fits < 9).sort((a, b) => a.fits - b.fits).map(({ country }) => country);
    for (const { item, iso } of fitting) item.setAttribute("aria-selected", String(iso === region.value));
    list.replaceChildren(...fitting.map(({ item }) => item));
    list.classList.toggle("whole", !sought);
    list.hidden = !fitting.length;
    list.scrollTop = 0;
    status.textContent = fitting.length ? "" : status.dataset.none;
    mark(fitting[0]);
  }

  function step(by) {
    const countries = shown();
    mark(countries[Math.max(0, Math.min(countries.length - 1, countries.indexOf(active) + by))]);
  }

  const pick = (country) => country && choose([country.iso, country.code, country.name]);

  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 7, PageUp: -7 };
    if (event.isComposing || !(event.key === "Enter" || event.key in moves)) return;
    event.preventDefault();
    if (event.key === "Enter") pick(active);
    else step(moves[event.key]);
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the search keeps the focus
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    pick(countries.find((country) => country.item === item));
  });
  return filter;
}
