"""CORS (WHATWG Fetch, 3.2): which pages may call the API with a project's public key.

A preflight carries no key, so it is answered for everybody; the request itself is refused where its Origin is
not the project's. An answer to the secret key never carries CORS headers: that key does not belong in a page.
"""

import re
from urllib.parse import urlsplit

from gateway.errors import ForeignOrigin
from gateway.projects import Project
from gateway.settings import Settings

Headers = list[tuple[str, str]]

_REQUEST_HEADERS = (
    "accept, accept-language, authorization, content-type, x-api-key, x-cf-turnstile-token, x-challenge-token, "
    "x-requested-with"
)
_PREFLIGHT_SECONDS = "7200"  # the longest that Chromium keeps one
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?")  # RFC 1035's longest; all other signs mean something


class Origins:
    """The origins that may call, by project."""

    def __init__(self, config: Settings) -> None:
        own = urlsplit(config.public_url)
        self._own = f"{own.scheme}://{own.netloc}"
        self._any = not config.production

    def admit(self, origin: str, project: Project, secret: bool) -> Headers:
        """The headers that let this page read the answer. Raises `ForeignOrigin`."""
        if secret:
            return []
        if not self._any and origin != self._own and not is_listed(origin, project.settings.origins):
            raise ForeignOrigin
        return readable_by(origin)


def readable_by(origin: str) -> Headers:
    """The headers of an answer that a page of `origin` may read."""
    return [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", "retry-after, x-request-id"),
        ("vary", "origin"),
    ]


def preflight(origin: str, methods: str) -> Headers:
    """The headers of a preflight's answer; `methods` as in `POST, OPTIONS`."""
    return [
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", methods),
        ("access-control-allow-headers", _REQUEST_HEADERS),
        ("access-control-max-age", _PREFLIGHT_SECONDS),
        ("vary", "origin"),
    ]


def is_listed(origin: str, listed: tuple[str, ...]) -> bool:
    """Whether `https://shop.example.com` is one of `https://shop.example.com`, `https://*.example.com`."""
    if origin in listed:
        return True
    scheme, _, host = origin.partition("://")
    if not _HOST.fullmatch(host):  # it may come from an address, and goes into policies and scripts
        return False
    for pattern in listed:
        wanted_scheme, _, wanted = pattern.partition("://")
        if wanted.startswith("*.") and scheme == wanted_scheme and host.endswith(wanted[1:]):
            return True
    return False
