"""Digits as people's keyboards write them."""

import unicodedata


def with_plain_digits(text: str) -> str:
    """With the digits of all scripts as 0 to 9, and signs of other widths as plain ones (NFKC)."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in normal)
