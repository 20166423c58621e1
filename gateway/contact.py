"""`Contact`: whom a code goes to, a phone in E.164 or an email address."""

import re
from dataclasses import dataclass
from typing import Literal

import phonenumbers

from gateway.errors import BadRequest
from gateway.i18n import N_
from gateway.phones import read_phone

_LONGEST = 254  # RFC 5321: the longest address that SMTP can carry
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]"
    r"(?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Contact:
    """A phone (`+79522966236`) or an email (`ann@example.com`), in the one form that we compare and store."""

    kind: Literal["phone", "email"]
    value: str

    @property
    def mask(self) -> str:
        """Enough for its owner to recognise, too little for anybody else: `+7 ••• ••• 36`, `a•••@example.com`."""
        if self.kind == "email":
            name, _, domain = self.value.partition("@")
            return f"{name[0]}•••@{domain}"
        number = phonenumbers.parse(self.value)
        return f"+{number.country_code}\u00a0•••\u00a0•••\u00a0{self.value[-2:]}"  # never broken over two lines

    @property
    def country(self) -> str:
        """ISO 3166 code of the phone's country (`RU`), empty for an email and for numbers of no country."""
        if self.kind == "email":
            return ""
        return phonenumbers.region_code_for_number(phonenumbers.parse(self.value)) or ""


def parse_contact(text: object, *, region: str | None = None, field: str = "to") -> Contact:
    """Read what a person or a program typed.

    A phone is taken in E.164 with spaces, dashes and brackets, or, where `region` (`RU`) is given, as people
    write it in that country, among other words too. Raises `BadRequest` on `field` with the reason.
    """
    if not isinstance(text, str):
        raise BadRequest(field, N_("must be a text"))
    text = text.strip()
    if not text:
        raise BadRequest(field, N_("type a phone number or an email"))
    if len(text) > _LONGEST:
        raise BadRequest(field, N_("is too long"))
    if "@" in text:
        return _email(text, field)
    return _phone(text, region, field)


def parse_telegram_phone(digits: str) -> Contact:
    """The number of a Telegram contact, which comes with or without its plus. Raises `BadRequest`."""
    return _phone("+" + digits.strip().lstrip("+"), None, "phone_number")


def _email(text: str, field: str) -> Contact:
    name, _, domain = text.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise BadRequest(field, N_("is not an email address")) from None
    address = f"{name}@{domain}"
    if not _EMAIL.fullmatch(address) or ".." in name or name.startswith(".") or name.endswith("."):
        raise BadRequest(field, N_("is not an email address"))
    return Contact("email", address.lower())


def _phone(text: str, region: str | None, field: str) -> Contact:
    return Contact("phone", read_phone(text, region, field))


def contact_of(kind: str, value: str) -> Contact:
    """One that was read before, as the store has it."""
    return Contact("phone" if kind == "phone" else "email", value)
