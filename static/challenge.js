// The entry form's challenge. widget.js loads this only where a page asks for one, starts it when the form is shown
// and waits for it when the form is sent.
const BATCH = 16; // tries at once: hides the way to WebCrypto's threads and back
const SLICE = 12; // ms of trying without WebCrypto, then the page may breathe
const SPARE = 30; // seconds before the end of a challenge's life in which it is not begun with
const known = new WeakMap();

// Resolves once the form's hidden field is filled. `waiting`: the visitor is, so say what for.
export async function solve(asks, waiting) {
  const field = asks.querySelector("input");
  const status = asks.querySelector("[role=status]");
  let run = known.get(asks);
  if (!run || Date.now() > run.until) { // a difference of times, so that a wrong clock does no harm
    known.set(asks, run = { until: Date.now() + (asks.dataset.seconds - SPARE) * 1000 });
    if (asks.dataset.script) captcha(asks, field, run);
    else run.done = proof(asks.dataset.url).then((text) => { field.value = text; });
    run.done.catch(() => known.delete(asks)); // the next time begins anew
  }
  if (!waiting || (asks.dataset.script && field.value)) return run.done;
  const late = setTimeout(() => { status.textContent = status.dataset.words; }, 100);
  try {
    await run.done;
  } finally {
    clearTimeout(late);
    status.textContent = "";
  }
}

// ALTCHA's proof of work, version 2: the counter whose derived key begins as the challenge says.
async function proof(url) {
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(answer.status);
  const challenge = await answer.json();
  const { nonce, salt, cost, keyLength, keyPrefix } = challenge.parameters;
  const derive = globalThis.crypto?.subtle ? native : plain; // none on plain http
  const seed = bytes(nonce), salted = bytes(salt);
  let pause = Date.now() + SLICE;
  for (let first = 0; ; first += BATCH) {
    const tries = Array.from({ length: BATCH }, (_, number) => derive(password(seed, first + number), salted, cost, keyLength));
    const found = (await Promise.all(tries)).map(hex);
    const number = found.findIndex((key) => key.startsWith(keyPrefix));
    if (number >= 0) {
      const solution = { counter: first + number, derivedKey: found[number] };
      return btoa(JSON.stringify({ challenge, solution }));
    }
    if (derive === plain && Date.now() > pause) {
      await new Promise((go) => setTimeout(go));
      pause = Date.now() + SLICE;
    }
  }
}

const bytes = (text) => Uint8Array.from(text.match(/../g), (two) => parseInt(two, 16));
const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");

function password(seed, counter) {
  const whole = new Uint8Array(seed.length + 4);
  whole.set(seed);
  new DataView(whole.buffer).setUint32(seed.length, counter);
  return whole;
}

async function native(secret, salt, iterations, length) {
  const key = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, key, length * 8));
}

// The same without WebCrypto (RFC 8018, 5.2, its first block), for secrets and salts of less than a SHA-256 block.
function plain(secret, salt, iterations, length) {
  const inner = compress(START, keyed(secret, 0x36)), outer = compress(START, keyed(secret, 0x5c));
  const hmac = (block) => compress(outer, padded(compress(inner, block)));
  const first = new Uint8Array(64);
  first.set(salt);
  first[salt.length + 3] = 1; // the number of the block
  first[salt.length + 4] = 0x80;
  new DataView(first.buffer).setUint32(60, (64 + salt.length + 4) * 8);
  let last = hmac(words(first));
  const sum = last.slice();
  for (let round = 1; round < iterations; round++) {
    last = hmac(padded(last));
    for (let i = 0; i < 8; i++) sum[i] ^= last[i];
  }
  const out = new DataView(new ArrayBuffer(32));
  sum.forEach((word, i) => out.setInt32(i * 4, word));
  return new Uint8Array(out.buffer, 0, length);
}

function keyed(secret, pad) {
  const block = new Uint8Array(64).fill(pad);
  secret.forEach((byte, i) => { block[i] ^= byte; });
  return words(block);
}

const words = (block) => Int32Array.from({ length: 16 }, (_, i) => new DataView(block.buffer).getInt32(i * 4));

function padded(digest) { // as the second block of an HMAC
  const block = new Int32Array(16);
  block.set(digest);
  block[8] = 1 << 31;
  block[15] = (64 + 32) * 8;
  return block;
}

// SHA-256's constants: the first bits of the square and cube roots of the first primes.
const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((prime) => n % prime)) PRIMES.push(n);
const fraction = (root) => ((root % 1) * 2 ** 32) | 0;
const START = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const ROUNDS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
const w = new Int32Array(64);

function compress(state, block) {
  w.set(block);
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
      + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const one = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (e & f ^ ~e & g)
      + ROUNDS[i] + w[i] | 0;
    const two = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
    h = g; g = f; f = e; e = d + one | 0; d = c; c = b; b = a; a = one + two | 0;
  }
  const next = new Int32Array(8);
  [a, b, c, d, e, f, g, h].forEach((word, i) => { next[i] = state[i] + word; });
  return next;
}

// A CAPTCHA of somebody else's: their script draws it, and it may want the visitor to do something.
function captcha(asks, field, run) {
  const { script, object, siteKey, lang } = asks.dataset;
  run.until = Infinity; // the provider says itself when a token has expired
  let filled;
  const empty = () => { field.value = ""; run.done = new Promise((go) => { filled = go; }); };
  const fill = (token) => { field.value = token; filled(); };
  const failed = () => { // the server finds out by itself whether the provider is away, and what then
    asks.querySelector("[data-failed]").hidden = false;
    fill("not loaded");
  };
  empty();
  const render = () => {
    const made = window[object].render(asks.querySelector("[data-box]"), {
      sitekey: siteKey, hl: lang, language: lang, callback: fill, "expired-callback": empty, "error-callback": failed,
    });
    window[object].subscribe?.(made, "token-expired", () => { empty(); window[object].reset(made); });
  };
  if (window[object]?.render) return render();
  window.kodgateChallenge = render;
  try {
    const tag = Object.assign(document.createElement("script"), { src: script, async: true, onerror: failed });
    document.head.append(tag);
  } catch { // this document's policy is from before the challenge
    failed();
  }
}
