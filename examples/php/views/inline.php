<h1>Your account</h1>
<script src="<?= h(KODGATE_URL) ?>/static/embed.js" data-key="<?= h(PUBLIC_KEY) ?>" data-mode="inline"
  data-return-to="<?= h($return_to) ?>" data-state="<?= h($state) ?>" data-accent="#0b6e69" async></script>
<noscript><p><a href="/">Log in without a script</a></p></noscript>
