"""Countries that a project sends to, as an operator names them: `RU`, `+44`, `+1876`, or `all`."""

import re
from collections.abc import Iterable
from functools import lru_cache

import phonenumbers

from gateway.e164 import calling_code

ALL = "all"
_AT_HAND = 4096  # phones whose country is known; a login asks several times
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


def allows(countries: tuple[str, ...], phone: str) -> bool:
    """Whether a phone in E.164 is of one of these countries; where nothing was ever chosen, all are.

    Mostly its calling code tells. Only where some of the countries that share it are allowed and some are not,
    `phonenumbers` is asked, which takes as long as the rest of a `create`.
    """
    if not countries or countries[0] == ALL or any(phone.startswith(name) for name in countries):
        return True
    sharing = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(calling_code(phone), ())
    allowed = [region for region in sharing if region in countries]
    return bool(allowed) and (len(allowed) == len(sharing) or _region(phone) in allowed)


def regions_of(countries: tuple[str, ...]) -> frozenset[str]:
    """The ISO codes of these countries; empty: all."""
    if not countries or countries[0] == ALL:
        return frozenset()
    return frozenset(region for name in countries for region in _regions(name))


@lru_cache(maxsize=_AT_HAND)
def _region(phone: str) -> str:
    code = calling_code(phone)
    rest = phone[1 + len(str(code)) :]
    if rest.startswith("0"):  # Italy's count
        number = phonenumbers.parse(phone)
    else:
        number = phonenumbers.PhoneNumber(country_code=code, national_number=int(rest))  # a third of the time
    return phonenumbers.region_code_for_number(number) or ""


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
