<h1>Log in</h1>
<p>No password: we send you a code.</p>
<form action="<?= h(KODGATE_URL) ?>/widget/" method="get">
  <input type="hidden" name="key" value="<?= h(PUBLIC_KEY) ?>">
  <input type="hidden" name="return_to" value="<?= h($return_to) ?>">
  <input type="hidden" name="state" value="<?= h($state) ?>">
  <button>Log in</button>
  <script src="<?= h(KODGATE_URL) ?>/static/embed.js" data-key="<?= h(PUBLIC_KEY) ?>"
    data-accent="#0b6e69" async></script>
</form>
