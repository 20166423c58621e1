<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title><?= $view === 'problem' ? 'That did not work' : 'Log in' ?> · Partner site</title>
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
<?php require __DIR__ . "/$view.php"; ?>
  </main>
  <footer>An example of Kodgate with PHP</footer>
</body>
</html>
