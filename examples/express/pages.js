// The pages; a real site has a template engine that escapes.

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

class Html extends String {}

function html(parts, ...values) {
  const shown = values.map((value) => (value instanceof Html ? value : `${value}`.replace(/[&<>"']/g, (c) => ENTITIES[c])));
  return new Html(String.raw({ raw: parts }, ...shown));
}

function page(title, main) {
  return `${html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${title} · Partner site</title>
  <link rel="icon" href="/static/icon.svg">
  <link rel="stylesheet" href="/static/style.css">
</head>
<body>
  <header>
    <strong>Partner site</strong>
    <nav aria-label="Pages">
      <a href="/">Home</a>
      <a href="/inline">Inline</a>
    </nav>
  </header>
  <main>
${main}
  </main>
  <footer>An example of Kodgate with Express</footer>
</body>
</html>
`}`;
}

export const account = ({ user, csrf }) => page("Log in", html`<h1>Welcome</h1>
<p>You are logged in as <strong>${user}</strong>.</p>
<form action="/logout" method="post">
  <input type="hidden" name="csrf" value="${csrf}">
  <button>Log out</button>
</form>`);

export const home = ({ kodgate, publicKey, returnTo, state }) => page("Log in", html`<h1>Log in</h1>
<p>No password: we send you a code.</p>
<form action="${kodgate}/widget/" method="get">
  <input type="hidden" name="key" value="${publicKey}">
  <input type="hidden" name="return_to" value="${returnTo}">
  <input type="hidden" name="state" value="${state}">
  <button>Log in</button>
  <script src="${kodgate}/static/embed.js" data-key="${publicKey}"
    data-accent="#0b6e69" async></script>
</form>`);

export const inline = ({ kodgate, publicKey, returnTo, state }) => page("Log in", html`<h1>Your account</h1>
<script src="${kodgate}/static/embed.js" data-key="${publicKey}" data-mode="inline"
  data-return-to="${returnTo}" data-state="${state}" data-accent="#0b6e69" async></script>
<noscript><p><a href="/">Log in without a script</a></p></noscript>`);

export const problem = (text) => page("That did not work", html`<h1>That did not work</h1>
<p role="alert">${text}</p>
<p><a href="/">Try again</a></p>`);
