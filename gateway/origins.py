"""Origins (RFC 6454, 6.2) as browsers write them, whichever way an operator does."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

AN_ORIGIN = "origin, such as https://shop.example.com or https://*.example.com"

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ANY = "*."  # any name below
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_PLAIN = re.compile(r"[!-~]*")  # what a header can carry


class Address(NamedTuple):
    """An address's origin, and what stands behind it, without a slash at its end."""

    origin: str
    path: str


def read_address(text: str) -> Address:
    """`HTTPS://Пример.рф:443/login/` is `https://xn--e1afmkfd.xn--p1ai` and `/login`.

    Raises `ValueError` where it is no address of a site: by another scheme, with a user, a query or a fragment.
    """
    parts = urlsplit(text.strip())
    host, port = parts.hostname or "", parts.port
    if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(text)
    if not _PLAIN.fullmatch(parts.path):
        raise ValueError(text)
    shown = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return Address(f"{parts.scheme}://{_host(host)}{shown}", parts.path.rstrip("/"))


def read_origin(text: str) -> str:
    """Of a site, or of all below it: `https://*.example.com`. Raises `ValueError`."""
    scheme, separator, rest = text.strip().partition("://")
    any_below = _ANY if rest.startswith(_ANY) else ""
    origin, path = read_address(f"{scheme}{separator}{rest.removeprefix(any_below)}")
    if path:
        raise ValueError(text)
    return origin.replace("://", f"://{any_below}", 1)


def _host(name: str) -> str:
    if ":" in name:  # IPv6, which urlsplit has looked at
        return f"[{name}]"
    ascii_name = name.encode("idna").decode() if not name.isascii() else name
    if not _NAME.fullmatch(ascii_name):
        raise ValueError(name)
    return ascii_name
