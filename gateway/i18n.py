"""Translations: one gettext catalogue for web, bot, messages and API errors.

Strings are marked with `N_` where they are written and translated with `translate` where the language is
known. The catalogues are `templates/locale/<lang>/LC_MESSAGES/kodgate.po`; `make setup` compiles them.
"""

import gettext
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

LANGUAGES = ("en", "ru", "uk", "kk", "uz", "es", "de", "tr")
DEFAULT_LANGUAGE = "en"
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ur"})  # none is ours yet; the pages are ready for them
_TAGS = 1024  # remembered: more than browsers send, and a header may hold anything
TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def N_(text: str) -> str:
    """Mark `text` for extraction; it is translated later, where the language is known."""
    return text


@cache
def catalogue(lang: str) -> gettext.NullTranslations:
    """The catalogue of one language, English where there is none."""
    return gettext.translation("kodgate", TEMPLATES / "locale", languages=[lang], fallback=True)


def translate(lang: str, text: str, **values: object) -> str:
    """`text` in `lang`, with `%(name)s` filled from `values`."""
    translated = catalogue(lang).gettext(text)
    return translated % values if values else translated


def direction(lang: str) -> Literal["ltr", "rtl"]:
    """Where a line of this language begins: what HTML's `dir` says."""
    return "rtl" if lang in RIGHT_TO_LEFT else "ltr"


def pick_language(*wishes: str | None) -> str:
    """The first of our languages that a wish names; English otherwise."""
    return wished_language(*wishes) or DEFAULT_LANGUAGE


def wished_language(*wishes: str | None) -> str | None:
    """The first of our languages that a wish names, if any does.

    A wish is a `lang` parameter or Telegram's code (`ru`, `RU`, `ru_RU`, `uz-Latn-UZ`) or an
    `Accept-Language` header with weights.
    """
    for wish in wishes:
        if wish and (lang := _best(wish)):
            return lang
    return None


@lru_cache(_TAGS)
def _exact(tag: str) -> str | None:
    base = tag.strip().replace("_", "-").split("-", 1)[0].lower()
    return base if base in LANGUAGES else None


def _best(wish: str) -> str | None:
    if "," not in wish and ";" not in wish:
        return _exact(wish[:35])
    best, best_weight = None, 0.0
    for part in wish[:500].split(","):
        tag, _, parameters = part.partition(";")
        lang = _exact(tag[:35])
        weight = _weight(parameters)
        if lang and weight > best_weight:
            best, best_weight = lang, weight
    return best


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
