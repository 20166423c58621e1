"""How every page looks: accessible in light and dark, whole at 320 px, and drawn for the README on demand."""

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Frame, Page

from .conftest import SCREENSHOTS, Visits, Watch
from .people import DESKTOP, NARROW, PHONE, Face
from .stack import Stack
from .tour import tour

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
ON_THE_WAY = (400, 404, 423)  # refusals that the tour shows
DRAWN = {"home", "entry", "channels", "code-telegram", "code-sent", "profile", "sandbox-chat", "sandbox-inbox"}


# Colours on their way from one theme to the other are of neither; what moves for ever never settles.
SETTLED = """async () => {
  const moving = () => document.getAnimations().some((one) => one.effect.getTiming().iterations < 99);
  for (let still = 0, frame = 0; still < 3 && frame < 300; frame++) {
    await new Promise(requestAnimationFrame);
    still = moving() ? 0 : still + 1;
  }
}"""


def violations(page: Page | Frame) -> list[str]:
    """What axe-core finds on the page as it is."""
    page.evaluate(SETTLED)
    if not page.evaluate("'axe' in window"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found: dict[str, Any] = page.evaluate(
        "(rules) => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})", RULES
    )
    return [
        f"{one['id']}: {node['target']}: {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)
def test_axe_finds_no_violation_on_any_page_in_light_and_dark(
    visits: Visits, stack: Stack, watch: Watch, phone: str, other_phone: str, face: Face
) -> None:
    """A wide screen has no colours of its own."""
    watch.expects(*ON_THE_WAY)
    found = {}
    stops = 0
    for name, page in tour(visits, stack, face, phone, other_phone):
        for scheme in ("light", "dark") if face is PHONE else ("dark",):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            stops += 1
            if wrong := violations(page):
                found[f"{name}, {scheme}"] = wrong
    assert found == {}
    assert stops > (40 if face is PHONE else 20)


def test_axe_would_notice(visits: Visits) -> None:
    page = visits.page()
    page.set_content("<!doctype html><title>t</title><p style='color: #999; background: #fff'>faint<input>")
    assert {line.partition(":")[0] for line in violations(page)} >= {"color-contrast", "label", "html-has-lang"}


@pytest.mark.parametrize("locale", ["de-DE", "kk-KZ"])  # whose words are long
def test_nothing_sticks_out_at_320_pixels(
    visits: Visits, stack: Stack, watch: Watch, phone: str, other_phone: str, locale: str
) -> None:
    watch.expects(*ON_THE_WAY)
    wide = {}
    for name, page in tour(visits, stack, NARROW, phone, other_phone, locale=locale):
        if out := page.evaluate(STICKING_OUT):
            wide[name] = out
    assert wide == {}


STICKING_OUT = """() => {
  const width = document.documentElement.scrollWidth;
  const cut = [...document.querySelectorAll("button, a, label, h1, h2, p, li, dd, input")].filter((node) => {
    const box = node.getBoundingClientRect();
    const style = getComputedStyle(node);
    const scrolls = node.closest(".filters, pre");  // lists that are made to scroll sideways
    const shown = box.width && style.visibility !== "hidden" && style.clip === "auto";
    const inside = node.scrollWidth > node.clientWidth + 1 && node.clientWidth && style.overflow === "visible";
    return shown && !scrolls && (box.right > 320.5 || box.left < -0.5 || inside);
  });
  const name = (node) => `${node.tagName} ${node.className || node.id}: ${node.textContent.trim().slice(0, 30)}`;
  return [...(width > 320 ? [`the page: ${width}`] : []), ...cut.map(name)];
}"""


@pytest.mark.parametrize(("face", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_draw_the_screenshots(
    visits: Visits,
    stack: Stack,
    watch: Watch,
    phone: str,
    other_phone: str,
    face: Face,
    scheme: str,
    tmp_path: Path,
) -> None:
    """The README's pictures; SCREENSHOTS=1 puts them into docs/, otherwise they are only proven to be drawn."""
    watch.expects(*ON_THE_WAY)
    folder = SCREENSHOTS if os.environ.get("SCREENSHOTS") == "1" else tmp_path
    stack.empty_inbox()
    for name, page in tour(visits, stack, face, phone, other_phone, color_scheme=scheme):
        page.mouse.move(0, 0)
        if name in DRAWN:
            page.screenshot(path=folder / f"{name}-{face.width}-{scheme}.png")
    assert {path.name.removesuffix(f"-{face.width}-{scheme}.png") for path in folder.glob("*.png")} >= DRAWN
