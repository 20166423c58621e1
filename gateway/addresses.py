"""Which addresses we call when somebody else names them: public ones, and those that the operator allows.

An address is looked at twice: when a caller names it, and again at the socket, each time it is connected to, so
that neither a name that changes its mind (DNS rebinding) nor a strange spelling gains anything.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network

LONGEST_URL = 2000  # characters: what every proxy and server takes


def is_callable(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether an IP address is public (IANA's special-purpose registries), or in one of `allowed`."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        # An IPv4 address in IPv6's clothes goes where the IPv4 address goes.
        if ip.ipv4_mapped:
            return is_callable(str(ip.ipv4_mapped), allowed)
        if ip.sixtofour or ip.teredo or ip.is_site_local or any(ip in network for network in _IPV4_WITHIN):
            return False
    if any(ip in network for network in allowed):
        return True
    return ip.is_global and not ip.is_multicast


def is_callable_url(url: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether a URL is http(s), carries no password and, as far as can be seen unresolved, a public host."""
    if len(url) > LONGEST_URL or not url.isascii() or any(one <= " " or one in "\\\x7f" for one in url):
        return False  # a name in other letters is written in punycode, and its path in percents
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        return False
    if _is_ip(host):
        return is_callable(host, allowed)
    return _is_name(host) and host != "localhost" and not host.endswith(".localhost")


_IPV4_WITHIN = (IPv6Network("::/96"), IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def _is_name(host: str) -> bool:
    """Whether a host is a name that DNS can have (RFC 1035, with underscores)."""
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
