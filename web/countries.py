"""Countries as the phone field needs them: names, calling codes, examples, and how their numbers are spaced.

All of it is made from what Babel and `phonenumbers` bring along; nobody outside is asked.
"""

import re
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import phonenumbers
from babel import Locale
from babel.core import get_global
from phonenumbers import NumberFormat, PhoneMetadata, PhoneNumberFormat

from gateway.phones import example_mobile

_FORM = 1  # counts up when what is served here gets another shape
VERSION = f"{_FORM}-{version('phonenumbers')}-{version('babel')}"
FALLBACK = "US"
_FREQUENT = {
    "en": ("US", "GB", "IN", "CA", "AU"),
    "ru": ("RU", "KZ", "BY", "UZ", "UA"),
    "uk": ("UA", "PL", "DE", "CZ"),
    "kk": ("KZ", "RU", "UZ", "CN"),
    "uz": ("UZ", "KZ", "RU", "TJ"),
    "es": ("ES", "MX", "AR", "CO", "US"),
    "de": ("DE", "AT", "CH"),
    "tr": ("TR", "DE", "CY"),
    "ar": ("EG", "SA", "AE", "MA", "IQ"),
}
_MASKABLE = re.compile(r"[ ().-]*\\1(?:[ ().-]*\\\d)*")  # groups in their order, and no digit besides
_AREA = re.compile(r"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific)/")
_PLAIN_TRUNK = 12  # characters: a longer pattern also undoes carrier codes, which nobody types to log in


class Spacing(NamedTuple):
    """One way to space national numbers: `5 3 4` is five digits, three, four; `3,4` are three or four."""

    leading: str
    international: str
    national: str
    trunk: int  # before it comes the trunk prefix: 0 never, 1 attached, 2 and a space


class Plan(NamedTuple):
    """What is common to all countries of one calling code, and those countries, the principal one first."""

    code: str
    trunk: str
    spacings: tuple[Spacing, ...]
    countries: tuple[tuple[str, str, str, str], ...]  # ISO code, name, leading digits, an example's national part


def is_country(region: str) -> bool:
    """Whether numbers can belong to this ISO code (`RU`)."""
    return region in phonenumbers.SUPPORTED_REGIONS


def calling_code(region: str) -> str:
    """`49` of DE."""
    return str(phonenumbers.country_code_for_region(region))


def name(region: str, lang: str) -> str:
    """`Deutschland` of DE in `de`."""
    return str(Locale(lang).territories.get(region, region))


def example(region: str) -> str:
    """A mobile number as it is written for the whole world: `+49 1512 3456789`."""
    number = example_mobile(region)
    return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) if number else ""


def frequent(lang: str) -> tuple[str, ...]:
    """The countries that readers of `lang` look for first."""
    return _FREQUENT.get(lang, _FREQUENT["en"])


@cache
def listing(lang: str) -> list[tuple[str, str, str]]:
    """ISO code, calling code and name of each country; the browser sorts them as its language does."""
    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    return [(region, calling_code(region), name(region, lang)) for region in regions]


def plan(code: str, lang: str) -> Plan | None:
    """How the numbers of a calling code are written; None where it is no country's."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code) if code.isdecimal() else 0, ())
    return _plan(code, lang, regions) if regions and is_country(regions[0]) else None


# Time zones


def zone_country(zone: str) -> str:
    """The country of an IANA time zone (`Europe/Berlin`), empty for one of none."""
    canonical = get_global("zone_aliases").get(zone, zone)
    region = get_global("zone_territories").get(canonical, "")
    return region if is_country(region) else ""


@cache
def country_zones(region: str) -> list[str]:
    """The names by which browsers know the time zones of a country: `Asia/Kolkata`, `Asia/Calcutta`."""
    zones = {*get_global("zone_territories"), *get_global("zone_aliases")}
    return sorted(zone for zone in zones if _AREA.match(zone) and zone_country(zone) == region)


# Formats


@cache
def _plan(code: str, lang: str, regions: tuple[str, ...]) -> Plan | None:
    main = PhoneMetadata.metadata_for_region(regions[0])
    if main is None:
        return None
    return Plan(code, _trunk(main), _spacings(main), tuple(_country(region, lang) for region in regions))


def _country(region: str, lang: str) -> tuple[str, str, str, str]:
    metadata = PhoneMetadata.metadata_for_region(region)
    leading = metadata.leading_digits if metadata else None
    national = example(region).removeprefix(f"+{calling_code(region)}").strip(" -")
    return region, name(region, lang), leading or "", national


def _trunk(metadata: PhoneMetadata) -> str:
    """A pattern of what stands before a national number within the country."""
    pattern = metadata.national_prefix_for_parsing or ""
    if metadata.national_prefix and len(pattern) <= _PLAIN_TRUNK and "(" not in pattern:
        return pattern
    return metadata.national_prefix or ""


def _spacings(metadata: PhoneMetadata) -> tuple[Spacing, ...]:
    """Of whole numbers only: those for numbers without their area code would make a number jump as it grows."""
    at_home = {_rule(form): form for form in metadata.number_format}
    found = []
    for form in metadata.intl_number_format or metadata.number_format:
        home = at_home.get(_rule(form), form)
        international, national = _mask(form), _mask(home)
        if international or national:
            found.append(Spacing(_rule(form)[1], international, national, _trunk_mode(home)))
    return tuple(found)


def _rule(form: NumberFormat) -> tuple[str, str]:
    patterns = form.leading_digits_pattern or [""]
    return form.pattern or "", patterns[-1]


def _mask(form: NumberFormat) -> str:
    written = form.format or ""
    if not _MASKABLE.fullmatch(written):
        return ""
    groups = re.findall(r"\(\\d(?:\{([\d,]+)\})?\)", form.pattern or "")
    return re.sub(r"\\(\d)", lambda group: groups[int(group[1]) - 1] or "1", written)


def _trunk_mode(form: NumberFormat) -> int:
    rule = form.national_prefix_formatting_rule
    if rule is None or re.fullmatch(r"\(?\\1\)?", rule):
        return 2 if form.national_prefix_optional_when_formatting else 0
    return 2 if re.search("[- ]", rule) else 1
