"""People who own a phone. The same phone is always the same Telegram user."""

from __future__ import annotations

import re
from binascii import crc32
from dataclasses import dataclass
from typing import Any

DEFAULT_PHONE = "79522966236"
MAX_PEOPLE = 20_000
_NAMES = ("Alex", "Maria", "Daniel", "Anna", "Timur", "Sofia", "Leo", "Vera")


@dataclass(slots=True)
class Person:
    phone: str
    """E.164 digits, without the plus."""
    user_id: int
    """Also the id of the private chat, as in Telegram."""
    first_name: str
    language_code: str = "en"

    def user(self) -> dict[str, Any]:
        """The Bot API's `User`."""
        return {
            "id": self.user_id,
            "is_bot": False,
            "first_name": self.first_name,
            "language_code": self.language_code,
        }

    def chat(self) -> dict[str, Any]:
        """The Bot API's `Chat` of the private conversation with this person."""
        return {"id": self.user_id, "first_name": self.first_name, "type": "private"}

    def as_json(self) -> dict[str, Any]:
        return {
            "phone": self.phone,
            "display": display(self.phone),
            "user_id": self.user_id,
            "chat_id": self.user_id,
            "first_name": self.first_name,
            "language_code": self.language_code,
        }


class People:
    """Everybody the sandbox has met, found by user id or by phone."""

    def __init__(self) -> None:
        self._by_id: dict[int, Person] = {}
        self._by_phone: dict[str, Person] = {}

    def get(self, user_id: int) -> Person | None:
        return self._by_id.get(user_id)

    def by_phone(self, phone: str) -> Person | None:
        return self._by_phone.get(phone)

    def meet(self, phone: str, first_name: str | None = None, language_code: str | None = None) -> Person:
        """The person with this phone (E.164 digits); made on first sight, renamed when a name is given."""
        person = self._by_phone.get(phone)
        if person is None:
            person = Person(phone, self._free_id(phone), first_name or name_for(phone), language_code or "en")
            self.add(person)
            return person
        person.first_name = first_name or person.first_name
        person.language_code = language_code or person.language_code
        return person

    def add(self, person: Person) -> None:
        if len(self._by_id) >= MAX_PEOPLE:
            oldest = next(iter(self._by_id.values()))
            del self._by_id[oldest.user_id], self._by_phone[oldest.phone]
        self._by_id[person.user_id] = person
        self._by_phone[person.phone] = person

    def all(self) -> list[Person]:
        return list(self._by_id.values())

    def _free_id(self, phone: str) -> int:
        user_id = user_id_for(phone)
        while user_id in self._by_id:  # two phones, one checksum: rare, and must not make them one person
            user_id += 1
        return user_id


def user_id_for(phone: str) -> int:
    return 100_000_000 + crc32(phone.encode()) % 800_000_000


def name_for(phone: str) -> str:
    return "Alex" if phone == DEFAULT_PHONE else _NAMES[crc32(phone.encode()) // 7 % len(_NAMES)]


def parse_phone(text: object) -> str | None:
    """E.164 digits of what somebody typed, or None. `8 952 …` is how Russia dials `+7 952 …`."""
    if not isinstance(text, str) or len(text) > 40 or not re.fullmatch(r"\s*\+?[\d\s().\-–]+", text):
        return None
    digits = re.sub(r"\D", "", text)
    if len(digits) == 11 and digits.startswith("8") and "+" not in text:
        digits = "7" + digits[1:]
    return digits if 7 <= len(digits) <= 15 and digits.isascii() and digits[0] != "0" else None


def display(phone: str) -> str:
    """`+7 952 296-62-36`: good enough for reading, without a table of the world's numbering plans."""
    if len(phone) == 11 and phone[0] == "7":
        return f"+7 {phone[1:4]} {phone[4:7]}-{phone[7:9]}-{phone[9:]}"
    if len(phone) == 11 and phone[0] == "1":
        return f"+1 {phone[1:4]} {phone[4:7]}-{phone[7:]}"
    groups = [phone[i : i + 3] for i in range(2, len(phone), 3)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    return f"+{phone[:2]} {' '.join(groups)}"
