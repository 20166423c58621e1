"""Whose request it is: the address of the nearest hop that is none of the operator's own proxies."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.settings import Settings
from web.fields import Environ

_MOST_HOPS = 32  # of a header: nobody has more proxies, and what an attacker makes up stands to the left of them


class Visitors:
    """Reads addresses, believing what TRUSTED_PROXIES write and nobody else."""

    def __init__(self, config: Settings) -> None:
        self._trusted = config.trusted_proxies
        self._header = "HTTP_" + config.address_header.upper().replace("-", "_")
        self._is_trusted = lru_cache(maxsize=1024)(self._look_up)

    def address(self, environ: Environ) -> str:
        """The visitor's IP address; empty where the server does not tell.

        A hop that is no address ends the search: the proxy that wrote it stands for all behind it.
        """
        nearest: str = environ.get("REMOTE_ADDR") or ""
        if not self._trusted or not self._is_trusted(nearest):
            return nearest
        for hop in reversed(environ.get(self._header, "").rsplit(",", _MOST_HOPS)):
            address = _read(hop)
            if address is None:
                break
            nearest = str(address)
            if not self._is_trusted(nearest):
                break
        return nearest

    def _look_up(self, address: str) -> bool:
        read = _read(address)
        return read is not None and any(read in network for network in self._trusted)


def _read(hop: str) -> IPv4Address | IPv6Address | None:
    """An address as hops are written, some with a port: `1.2.3.4:5`, `[::1]:5`."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        read = ip_address(text)
    except ValueError:
        return None
    return (read.ipv4_mapped or read) if isinstance(read, IPv6Address) else read
