<?php
// A site whose visitors log in by Kodgate: copy kodgate.php and login_done(), and the form in views/home.php.

declare(strict_types=1);

require __DIR__ . '/../kodgate.php';

define('SITE_URL', getenv('SITE_URL') ?: 'http://localhost:8014');

header('Content-Security-Policy: ' . "default-src 'self'; script-src " . KODGATE_URL . '; frame-src ' . KODGATE_URL
    . "; form-action 'self' " . KODGATE_URL . "; base-uri 'none'; frame-ancestors 'none'");
header('X-Content-Type-Options: nosniff');
header_remove('X-Powered-By');

session_start([
    'name' => 'partner_php',
    'use_strict_mode' => true,
    'cookie_httponly' => true,
    'cookie_secure' => str_starts_with(SITE_URL, 'https://'),
    'cookie_samesite' => 'Lax', // with Strict it would not come along from Kodgate to /login/done
    'cache_limiter' => 'nocache', // no-store: the pages hold the session's secrets
]);

match ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    'GET /' => login_page('home'),
    'GET /inline' => login_page('inline'),
    'GET /login/done' => login_done(),
    'POST /logout' => logout(),
    default => problem('There is no such page.', 404),
};

/** Kodgate sends the browser here: ?verify_token=&state= */
function login_done(): void
{
    if (!same('state', $_GET['state'] ?? '')) {
        problem('This login was not begun here, or not in this browser.', 403);
        return;
    }
    unset($_SESSION['state']); // each is good for one login
    try {
        $user = verify(text($_GET['verify_token'] ?? ''));
    } catch (TokenRefused) {
        problem('This login has expired or was used already.', 403);
        return;
    } catch (RuntimeException $error) {
        error_log("Kodgate cannot verify: {$error->getMessage()}");
        problem('We cannot check your login at the moment.', 502);
        return;
    }
    session_regenerate_id(true); // nothing from before the login goes on
    $_SESSION = ['user' => $user, 'csrf' => secret()];
    header('Location: /', true, 303);
}

function logout(): void
{
    if (!same('csrf', $_POST['csrf'] ?? '')) {
        problem('This form is out of date.', 403);
        return;
    }
    $_SESSION = [];
    session_regenerate_id(true);
    header('Location: /', true, 303);
}

function login_page(string $view): void
{
    if (isset($_SESSION['user'])) {
        show('account');
        return;
    }
    $_SESSION['state'] ??= secret(); // ties the login to this browser
    show($view, ['return_to' => SITE_URL . '/login/done', 'state' => $_SESSION['state']]);
}

function problem(string $text, int $status): void
{
    http_response_code($status);
    show('problem', ['text' => $text]);
}

function show(string $view, array $values = []): void
{
    extract($values);
    require __DIR__ . '/../views/page.php';
}

/** Text as HTML. */
function h(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
}

/** A parameter may come as an array: then it is not what we sent. */
function text(mixed $given): string
{
    return is_string($given) ? $given : '';
}

/** Whether this is the session's own secret; there may be none. */
function same(string $name, mixed $given): bool
{
    return isset($_SESSION[$name]) && hash_equals($_SESSION[$name], text($given));
}

function secret(): string
{
    return bin2hex(random_bytes(32));
}
