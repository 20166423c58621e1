"""Kodgate's side of a login: the one call that a server makes."""

import httpx
from django.conf import settings


class TokenRefused(Exception):
    """Forged, expired, used before, or another project's."""


def verify(token):
    """The phone or email whose login this token proves. Raises `TokenRefused`, `httpx.HTTPError`."""
    answer = httpx.post(
        f"{settings.KODGATE_URL}/session/verify",
        json={"verify_token": token},
        headers={"x-api-key": settings.KODGATE_SECRET_KEY},
        timeout=10,
    )
    if answer.status_code in (400, 410):
        raise TokenRefused
    answer.raise_for_status()
    return answer.json()["to"]
