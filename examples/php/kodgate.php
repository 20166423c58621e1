<?php
// Kodgate's side of a login: the one call that a server makes.

declare(strict_types=1);

define('KODGATE_URL', getenv('KODGATE_URL') ?: 'http://localhost:8000');
define('PUBLIC_KEY', getenv('KODGATE_PUBLIC_KEY') ?: 'pk_development');
define('SECRET_KEY', getenv('KODGATE_SECRET_KEY') ?: 'sk_development');

/** Forged, expired, used before, or another project's. */
class TokenRefused extends RuntimeException
{
}

/** The phone or email whose login this token proves; throws TokenRefused, or a RuntimeException where Kodgate can't say. */
function verify(string $token): string
{
    $request = stream_context_create(['http' => [
        'method' => 'POST',
        'header' => ['Content-Type: application/json', 'x-api-key: ' . SECRET_KEY],
        'content' => json_encode(['verify_token' => $token], JSON_INVALID_UTF8_SUBSTITUTE),
        'timeout' => 10,
        'follow_location' => 0,
        'ignore_errors' => true,
    ]]);
    $body = @file_get_contents(KODGATE_URL . '/session/verify', false, $request);
    if ($body === false) {
        throw new RuntimeException(error_get_last()['message'] ?? 'no answer');
    }
    $status = (int) explode(' ', $http_response_header[0])[1];
    if ($status === 400 || $status === 410) {
        throw new TokenRefused();
    }
    $contact = json_decode($body, true)['to'] ?? null;
    if ($status !== 200 || !is_string($contact)) {
        throw new RuntimeException("answered $status");
    }
    return $contact;
}
