<h1>That did not work</h1>
<p role="alert"><?= h($text) ?></p>
<p><a href="/">Try again</a></p>
