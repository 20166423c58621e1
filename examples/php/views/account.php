<h1>Welcome</h1>
<p>You are logged in as <strong><?= h($_SESSION['user']) ?></strong>.</p>
<form action="/logout" method="post">
  <input type="hidden" name="csrf" value="<?= h($_SESSION['csrf']) ?>">
  <button>Log out</button>
</form>
