<h1>You are not logged in</h1>
<p role="alert"><?= h($text) ?></p>
<p><a href="/">Try again</a></p>
