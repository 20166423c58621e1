"""One-time codes: derived, never stored.

A code is HMAC-SHA-256(key, session id), dynamically truncated as in RFC 4226, section 5.3, over the project's
alphabet. The same session has the same code on every channel.
"""

from unicodedata import category

from gateway.digits import with_plain_digits
from gateway.errors import BadRequest
from gateway.i18n import N_
from gateway.keyed import keyed_hash

DIGITS = "0123456789"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and O: they are read as 1 and 0
LETTERS_AND_DIGITS = LETTERS + "23456789"
SHORTEST, LONGEST = 4, 6
_BETWEEN = ("Cf", "Pd", "Zs")  # Unicode's general categories: formats, dashes, spaces


def alphabet(*, digits: bool, letters: bool) -> str:
    """The characters that a project's codes are made of."""
    if letters:
        return LETTERS_AND_DIGITS if digits else LETTERS
    return DIGITS


def derive_code(key: bytes, session_id: str, characters: str, length: int) -> str:
    """The code of a session: `length` of `characters`.

    RFC 4226 keeps 31 bits; here 63 are kept, so that the remainder of even 32**6 is even to 1 in 2**33.
    """
    digest = keyed_hash(key, session_id.encode())
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 8]) & 0x7FFF_FFFF_FFFF_FFFF
    code = ""
    for _ in range(length):
        number, index = divmod(number, len(characters))
        code += characters[index]
    return code


def read_code(value: object) -> list[str]:
    """What a person or a program entered, in the form that is compared.

    Spaces, dashes and letter case are forgiven, and digits may be of any script. A number has lost its leading
    zeros: it may stand for a code of each length, of which a session has but one. Raises `BadRequest` on `code`.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**LONGEST:
        return [f"{value:0{length}d}" for length in range(max(SHORTEST, len(str(value))), LONGEST + 1)]
    if not isinstance(value, str):
        raise BadRequest("code", N_("must be a text or a number"))
    if len(value) > 64:
        raise BadRequest("code", N_("is too long"))
    plain = value if value.isascii() else _plain(value)
    code = plain.replace(" ", "").replace("-", "").upper()
    if not code:
        raise BadRequest("code", N_("type the code"))
    if not SHORTEST <= len(code) <= LONGEST or not code.isascii() or not code.isalnum():
        raise BadRequest(
            "code", N_("must be %(shortest)s to %(longest)s characters"), shortest=SHORTEST, longest=LONGEST
        )
    return [code]


def _plain(text: str) -> str:
    """With the digits of all scripts as 0 to 9, and without dashes, spaces and signs of direction of any kind."""
    return "".join(sign for sign in with_plain_digits(text) if category(sign) not in _BETWEEN)
