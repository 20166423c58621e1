"""The browser's own secret: a cookie, because an address could be handed to somebody else.

A one-tap approval is for the browser that began the session (gateway.tap). Were its key in an address, an attacker
could begin a login for a victim's phone, send the victim the page that shows the number, and collect what the
victim's tap approves. In a frame the cookie is partitioned (CHIPS), so it needs no third-party cookies; where a
browser keeps none at all, there is no number to tap and the code is typed.
"""

import re
import secrets

from flask import Response, g, request

from web.widget.state import this_widget

COOKIE = "kodgate_browser"
SECONDS = 2 * 3600  # the longest session, begun on a page that had been open for a while
_KEY = re.compile(r"[A-Za-z0-9_-]{22}")


def browser_key() -> str:
    """The secret that this browser has shown; empty where it keeps no cookie."""
    shown = request.cookies.get(_name(), "")
    return shown if _KEY.fullmatch(shown) else ""


def remember_browser(response: Response) -> Response:
    """Give the browser its secret before a session begins, so that what comes back shows whether it keeps one."""
    framed, https = is_framed(), _is_https()
    response.set_cookie(
        _name(),
        browser_key() or secrets.token_urlsafe(16),
        max_age=SECONDS,
        httponly=True,
        secure=https or framed,  # a partitioned cookie must be; browsers take it from http://localhost, too
        samesite="None" if framed else "Lax",
        partitioned=framed,
    )
    return response


def is_framed() -> bool:
    """Whether the widget is shown in a frame, as the browser says, or the address."""
    framed = request.headers.get("Sec-Fetch-Dest") == "iframe" or "origin" in request.args or g.framed_by
    return request.blueprint == "widget" and bool(framed)


def _name() -> str:
    """With a prefix that keeps other hosts of the domain from setting it (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{COOKIE}" if _is_https() else COOKIE


def _is_https() -> bool:
    return this_widget().public_url.startswith("https:")
