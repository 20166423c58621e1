"""Whom a limit counts: an address, or the country of a phone."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from gateway.e164 import calling_code

_V6_NETWORK = 8  # bytes: a /64, which is what one line or one server is given at least
_FINER = {1: 3, 7: 1}  # more digits that tell a country: +1 876 is Jamaica, +7 7 Kazakhstan
_RANGE = 3  # a pump has its numbers from a carrier, by the thousand: one such range or a few
_HIDDEN = 6


@lru_cache(maxsize=4096)
def address_subject(address: str) -> bytes:
    """The IPv4 address or the IPv6 /64, packed; empty for what is no address."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return b""
    if not isinstance(read, IPv6Address):
        return read.packed
    return read.ipv4_mapped.packed if read.ipv4_mapped else read.packed[:_V6_NETWORK]


def country_prefix(phone: str) -> str:
    """`+79` of `+7952…`, `+44` of `+4479…`: a country's calling code, and what tells apart who share it."""
    code = calling_code(phone)
    return phone[: 1 + len(str(code)) + _FINER.get(code, 0)] if code else phone[:4]


def range_prefix(phone: str) -> str:
    """`+79522` of `+79522966236`: three digits more than the country, as carriers hand out numbers.

    Six at least are left out, so that it names no one; where there are not so many more, it is the country's.
    """
    country = country_prefix(phone)
    return phone[: max(len(country), min(len(country) + _RANGE, len(phone) - _HIDDEN))]
