"""Whatever accent a partner likes, text in it, on it and on its wash can be read (WCAG 2.2, 1.4.3)."""

import re
from itertools import product

import pytest

from web.widget.theme import LEGIBLE, Theme, contrast

CARDS = {"light": "#ffffff", "dark": "#191c2f"}
ACCENTS = ["#" + "".join(parts) for parts in product(("00", "33", "77", "99", "cc", "ff"), repeat=3)]


def colour(text: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red / 255, green / 255, blue / 255


@pytest.mark.parametrize("scheme", CARDS)
def test_every_accent_is_legible(scheme: str) -> None:
    for accent in ACCENTS:
        theme = Theme(accent=accent)
        css = theme.light_css() if scheme == "light" else theme.dark_css()
        shown = dict(re.findall(r"(--[a-z-]+):(#[0-9a-f]{6})", css))
        assert shown.keys() == {"--accent", "--accent-ink", "--accent-wash"}
        for other in (CARDS[scheme], shown["--accent-wash"], shown["--accent-ink"]):
            assert contrast(colour(shown["--accent"]), colour(other)) >= LEGIBLE, (accent, css)
