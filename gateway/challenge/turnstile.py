"""Cloudflare Turnstile (developers.cloudflare.com/turnstile): a token lives 300 s and is good once."""

from gateway.challenge.service import Service, read_siteverify

SERVICE = Service(
    name="turnstile",
    verify_url="https://challenges.cloudflare.com/turnstile/v0/siteverify",
    token_field="response",  # noqa: S106 - a field's name
    read=read_siteverify,
    script_url="https://challenges.cloudflare.com/turnstile/v0/api.js?render=explicit&onload=kodgateChallenge",
    script_object="turnstile",
    sources=("https://challenges.cloudflare.com",),
)
