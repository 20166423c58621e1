<h1>Log in</h1>
<p>The widget is a part of this page.</p>
<script src="<?= h(KODGATE_URL) ?>/static/embed.js" data-key="<?= h(PUBLIC_KEY) ?>" data-mode="inline"
  data-return-to="<?= h($return_to) ?>" data-state="<?= h($state) ?>" async></script>
<noscript><p><a href="/">Log in without a script</a></p></noscript>
