"""Countries that a project sends to, as an operator names them: `RU`, `+44`, `+1876`, or `all`."""

import re
from collections.abc import Iterable

import phonenumbers

from gateway.limits.subjects import calling_code

ALL = "all"
_BEGINNING = re.compile(r"\+[1-9]\d{0,6}", re.ASCII)  # longer ones would be single lines


def read_countries(names: Iterable[str]) -> tuple[str, ...]:
    """The names in one form, each once. Raises `ValueError` for what is none."""
    read: list[str] = []
    for name in filter(None, (part.strip() for part in names)):
        one = _read(name)
        if one not in read:
            read.append(one)
    if ALL in read and len(read) > 1:
        raise ValueError("`all` stands alone, or not at all")
    return tuple(read)


def allows(countries: tuple[str, ...], phone: str, region: str) -> bool:
    """Whether a phone is of one of these countries; `region` is its own (`RU`), empty where it has none.

    Where nothing was ever chosen, all are.
    """
    if not countries or countries[0] == ALL or region in countries:
        return True
    return any(phone.startswith(name) for name in countries if name[0] == "+")


def regions_of(countries: tuple[str, ...]) -> frozenset[str]:
    """The ISO codes of these countries; empty: all."""
    if not countries or countries[0] == ALL:
        return frozenset()
    return frozenset(region for name in countries for region in _regions(name))


def _read(name: str) -> str:
    if name.lower() == ALL:
        return ALL
    if name.upper() in phonenumbers.SUPPORTED_REGIONS:
        return name.upper()
    if _BEGINNING.fullmatch(name) and calling_code(name):
        return name
    raise ValueError(f"{name!r} is no country: write ISO codes such as RU,KZ, calling codes such as +44, or all")


def _regions(name: str) -> tuple[str, ...]:
    if name[0] != "+":
        return (name,)
    return phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(calling_code(name), ())
