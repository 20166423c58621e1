"""Phone numbers as people and programs write them: `phonenumbers` is the judge, refusals are explained here."""

import re
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from gateway.digits import with_plain_digits
from gateway.e164 import is_plain
from gateway.errors import BadRequest
from gateway.i18n import N_, catalogue

_STRICT = re.compile(r"\+[0-9 ().\-\u00a0\u2010-\u2015\u202f/]+")
_RUN = re.compile(r"[+\d(][\d\s().\-\u2010-\u2015/]*")
_LETTER = re.compile(r"[^\W\d_]")
_PLUS_LOST = 2  # digits too many: one is a slip of the finger, more are a country's code without its plus
_ANY_LENGTH = (2, 15)  # ITU-T E.164
_MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


class WrongLength(BadRequest):
    """Digits are missing or too many: `count` of them, beside how such a number looks."""

    def __init__(self, field: str, *, missing: int, example: str) -> None:
        self._short = missing > 0
        super().__init__(field, "is of a wrong length", count=abs(missing), example=example)

    def why(self, lang: str) -> str:
        words, count = catalogue(lang), int(str(self.values["count"]))
        if self._short:
            text = words.ngettext(
                "is %(count)s digit short: it should look like %(example)s",
                "is %(count)s digits short: it should look like %(example)s",
                count,
            )
        else:
            text = words.ngettext(
                "is %(count)s digit too long: it should look like %(example)s",
                "is %(count)s digits too long: it should look like %(example)s",
                count,
            )
        return text % self.values


def read_phone(text: str, region: str | None, field: str) -> str:
    """The number in E.164 (`+79522966236`). Raises `BadRequest` on `field` with what is to be mended.

    Without a `region` (`RU`) only a number with its plus will do, and nothing beside it. With one, national
    numbers are read as that country's, and whatever was copied along with a number is passed over.
    """
    if is_plain(text):
        return text
    if region is None:
        if not _STRICT.fullmatch(text):
            raise BadRequest(field, N_("is not a phone number with a country code, such as +7 952 296-62-36"))
        number = _valid(text, None)
    else:
        text, *others = _readings(with_plain_digits(text).strip())
        runs = (run for reading in (text, *others) for run in _runs(reading))
        number = next(filter(None, (_read(run, region) for run in runs)), None)
    if number is None:
        raise _explained(text, region, field)
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def example_mobile(region: str) -> PhoneNumber | None:
    """A mobile number as they are in `region`; of any kind where it has no mobile ones."""
    mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    return mobile or phonenumbers.example_number(region)


# Reading


def _readings(text: str) -> tuple[str, ...]:
    """With a 00 as the plus that it stands for, but first as it is where digits stand before: +7 952 005-48-71."""
    with_plus = re.sub(r"(?<!\d)00(?=[1-9])", "+", text, count=1)
    return (with_plus,) if re.match(r"[^\d+]*00", text) else (text, with_plus)


def _runs(text: str) -> list[str]:
    """The stretches of `text` that can be a number, those with the most digits first."""
    return sorted(_RUN.findall(text), key=lambda run: len(_digits(run)), reverse=True)


def _read(text: str, region: str) -> PhoneNumber | None:
    if number := _valid(text, region):
        return number
    digits = _digits(text)
    if "+" in text:  # +8 952 …: no country's code, so it is the national form with a plus too many
        return None if _calling_code(digits) else _valid(digits, region)
    if _missing(digits, region) > -_PLUS_LOST:
        return None
    number = _valid(f"+{digits}", None)
    return number if number and phonenumbers.number_type(number) in _MOBILE else None


def _valid(text: str, region: str | None) -> PhoneNumber | None:
    number = _parsed(text, region)
    return number if number and not number.extension and phonenumbers.is_valid_number(number) else None


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


# Explaining


class _Attempt(NamedTuple):
    """What somebody seems to have meant: the country, and the digits there."""

    region: str
    national: str

    @property
    def example(self) -> str:
        number = example_mobile(self.region)
        return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) if number else ""


def _explained(text: str, region: str | None, field: str) -> BadRequest:
    run = next(iter(_runs(text)), "")
    digits, international = _digits(run), "+" in run
    attempt = _attempt(digits, international, region)
    if region and _LETTER.search(text):
        example = attempt.example if attempt else ""
        return BadRequest(field, N_("must be written in digits, like %(example)s"), example=example)
    if attempt is None and international and len(digits) > 2:
        reason = N_("must begin with a country’s code, and +%(code)s is none")
        return BadRequest(field, reason, code=digits[:3])
    if attempt is None or not digits:
        return BadRequest(field, N_("is not a phone number with a country code, such as +7 952 296-62-36"))
    if missing := _missing(attempt.national, attempt.region):
        return WrongLength(field, missing=missing, example=attempt.example)
    reason = N_("is not a number that exists: check its digits, it should look like %(example)s")
    return BadRequest(field, reason, example=attempt.example)


def _attempt(digits: str, international: bool, region: str | None) -> _Attempt | None:
    if not international:
        return _Attempt(region, digits) if region else None
    code = _calling_code(digits)
    if not code:
        return None
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    if regions[0] == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return None
    return _Attempt(region if region in regions else regions[0], digits[len(str(code)) :])


def _missing(digits: str, region: str) -> int:
    """How many digits a mobile number would need besides; negative for those too many, 0 for neither."""
    digits = _significant(digits, region)
    lengths = _mobile_lengths(region)
    if len(digits) not in lengths:
        return max(0, min(lengths) - len(digits)) or min(0, max(lengths) - len(digits))
    return max(lengths) - len(digits) if _begins_well(digits, region) else 0  # AR and BR have two lengths


def _significant(digits: str, region: str) -> str:
    """Without the trunk prefix (0 in DE, 8 in RU): where leaving it out makes the beginning of a number."""
    metadata = PhoneMetadata.metadata_for_region(region)
    trunk = metadata.national_prefix if metadata else None
    if not trunk or not digits.startswith(trunk):
        return digits
    rest = digits[len(trunk) :]
    return rest if _begins_well(rest, region) or not _begins_well(digits, region) else digits


def _begins_well(digits: str, region: str) -> bool:
    """Whether these can be the first digits of a number: cut, or filled up from the example, it is one."""
    number = example_mobile(region)
    pattern = phonenumbers.national_significant_number(number) if number else ""
    whole = digits[: len(pattern)] + pattern[len(digits) :]
    return _valid(f"+{phonenumbers.country_code_for_region(region)}{whole}", None) is not None


def _mobile_lengths(region: str) -> tuple[int, ...]:
    metadata = PhoneMetadata.metadata_for_region(region)
    if metadata is None:
        return _ANY_LENGTH
    for kind in (metadata.mobile, metadata.general_desc):
        if lengths := tuple(length for length in (kind.possible_length if kind else ()) if length > 0):
            return lengths
    return _ANY_LENGTH


def _calling_code(digits: str) -> int:
    """The calling code that international `digits` begin with, 0 where that is none."""
    codes = (int(digits[:length]) for length in (1, 2, 3) if len(digits) >= length and digits[0] != "0")
    return next((code for code in codes if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), 0)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
