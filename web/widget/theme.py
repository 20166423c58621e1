"""How a partner colours the widget: checked, made legible, and written as custom properties.

Whatever accent a partner likes, text in it must stay readable (WCAG 2.2, 1.4.3): it is moved towards black, or
white in the dark, until it is.
"""

import re
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

Scheme = Literal["auto", "light", "dark"]
Colour = tuple[float, float, float]

LARGEST_RADIUS = 24  # px: above, a field's ends are round and its text touches them
LEGIBLE = 4.5  # WCAG 2.2, 1.4.3: the contrast of text
_WASH = 0.1  # how much of the accent its faint background has
_CARD = {"light": "#ffffff", "dark": "#191c2f"}  # as in kodgate.css and dark.css
_INKS = ("#ffffff", "#14163a")
_ACCENT = re.compile(r"#[0-9a-fA-F]{6}")
_RADIUS = re.compile(r"[0-9]{1,2}")
_FONT = re.compile(r"[A-Za-z0-9 ,'\"-]{1,120}")


class Theme(msgspec.Struct, frozen=True, array_like=True):
    """A partner's choices: `accent` as `#rrggbb`, `radius` in pixels, `font` as CSS writes a family."""

    scheme: Scheme = "auto"
    accent: str = ""
    radius: int | None = None
    font: str = ""

    @property
    def dark_media(self) -> str:
        """When the dark colours apply, as a media query."""
        return {"auto": "(prefers-color-scheme: dark)", "light": "not all", "dark": "all"}[self.scheme]

    @property
    def color_scheme(self) -> str:
        """What the browser's own parts of the page follow."""
        return "light dark" if self.scheme == "auto" else self.scheme

    def light_css(self) -> str:
        """The custom properties that differ from ours."""
        chosen: dict[str, str] = {}
        if self.accent:
            chosen |= _accents(self.accent, "light")
        if self.radius is not None:
            chosen["--radius"] = f"{self.radius}px"
        if self.font:
            chosen["--font"] = f"{self.font}, system-ui, sans-serif"
        return _css(chosen)

    def dark_css(self) -> str:
        """Those of them that differ again in the dark."""
        return _css(_accents(self.accent, "dark")) if self.accent else ""


def read_theme(given: Mapping[str, str]) -> tuple[Theme, list[str]]:
    """The theme in an address (`theme`, `accent`, `radius`, `font`), and what is wrong with it, for its developer.

    Looks that can't be had are left out: they shall not keep anybody from logging in.
    """
    scheme, accent = given.get("theme") or "auto", given.get("accent", "")
    radius, font = given.get("radius", "").removesuffix("px"), given.get("font", "")
    wrong = []
    if scheme not in get_args(Scheme):
        wrong.append("theme must be light, dark or auto")
        scheme = "auto"
    if accent and not _ACCENT.fullmatch(accent):
        wrong.append("accent must be a colour such as #3b3fd8")
        accent = ""
    if radius and not (_RADIUS.fullmatch(radius) and int(radius) <= LARGEST_RADIUS):
        wrong.append(f"radius must be a number of pixels up to {LARGEST_RADIUS}")
        radius = ""
    if font and (not _FONT.fullmatch(font) or font.count('"') % 2 or font.count("'") % 2):
        wrong.append("font must be the names of fonts, with commas between them")
        font = ""
    return Theme(scheme, accent.lower(), int(radius) if radius else None, font), wrong  # type: ignore[arg-type]


def _accents(accent: str, scheme: str) -> dict[str, str]:
    card = _colour(_CARD[scheme])
    end = _colour("#000000" if scheme == "light" else "#ffffff")
    wanted = _colour(accent)
    for step in range(21):
        colour = _shown(_mixed(wanted, end, step / 20))
        wash = _shown(_mixed(card, colour, _WASH))
        if min(contrast(colour, card), contrast(colour, wash)) >= LEGIBLE:
            break
    ink = max(_INKS, key=lambda one: contrast(_colour(one), colour))
    return {"--accent": _hex(colour), "--accent-ink": ink, "--accent-wash": _hex(wash)}


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours (WCAG 2.2), 1 to 21."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _colour(text: str) -> Colour:
    red, green, blue = (int(text[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _shown(colour: Colour) -> Colour:
    """As a browser shows it, in whole steps."""
    return _colour(_hex(colour))


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)


def _css(properties: Mapping[str, str]) -> str:
    return "".join(f"{name}:{value};" for name, value in properties.items())
