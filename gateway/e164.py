"""Phones that are written in E.164 already, as programs and our own pages write them.

They are judged by the patterns of `phonenumbers`, put together once for each calling code: reading all that people
may write takes the library ten times as long, a tenth of a login. What is not plain is left to it.
"""

import re
from functools import cache
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc

_E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_NOTHING = "(?!)"  # what no number is
_KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


class _Region(NamedTuple):
    """`leading`: what tells its numbers from those of others with the same calling code, where digits do."""

    leading: re.Pattern[str] | None
    number: re.Pattern[str]


class _Country(NamedTuple):
    """The regions of a calling code. A number that begins like `trunk` may mean a shorter one."""

    trunk: re.Pattern[str] | None
    regions: tuple[_Region, ...]


def is_plain(text: str) -> bool:
    """Whether this is a valid number in E.164, which `phonenumbers` would leave as it is; False: ask it."""
    code = calling_code(text) if _E164.fullmatch(text) else 0
    if not code:
        return False
    national, country = text[1 + len(str(code)) :], _country(code)
    if national.startswith("0") or (country.trunk and country.trunk.match(national)):
        return False
    for region in country.regions:
        if region.leading is None and region.number.fullmatch(national):
            return True
        if region.leading and region.leading.match(national):
            return region.number.fullmatch(national) is not None
    return False


def calling_code(number: str) -> int:
    """The calling code that a number in E.164 begins with, 0 where that is none. No code begins another."""
    for length in (1, 2, 3):
        code = int(number[1 : 1 + length])
        if code in COUNTRY_CODE_TO_REGION_CODE:
            return code
    return 0


@cache
def _country(code: int) -> _Country:
    names = COUNTRY_CODE_TO_REGION_CODE[code]
    found = (PhoneMetadata.metadata_for_region_or_calling_code(code, name) for name in names)
    regions = [one for one in found if one]
    trunk = regions[0].national_prefix_for_parsing
    return _Country(
        re.compile(trunk) if trunk else None,
        tuple(_region(one, alone=len(regions) == 1) for one in regions),
    )


def _region(metadata: PhoneMetadata, *, alone: bool) -> _Region:
    every = "|".join(_pattern(getattr(metadata, name)) for name in _KINDS)
    leading = None if alone else metadata.leading_digits
    return _Region(
        re.compile(leading) if leading else None,
        re.compile(f"(?={_pattern(metadata.general_desc)}$)(?:{every})"),
    )


def _pattern(kind: PhoneNumberDesc | None) -> str:
    """The numbers of a kind, of the lengths that it has."""
    if kind is None or not kind.national_number_pattern:
        return _NOTHING
    lengths = "|".join(f".{{{length}}}$" for length in kind.possible_length)
    return f"(?:(?={lengths})(?:{kind.national_number_pattern}))"
