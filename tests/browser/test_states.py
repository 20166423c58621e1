"""Every state that a partner's page and one tap bring: accessible in all colours, by keyboard, and by name."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Frame, Page, expect

from .conftest import SCREENSHOTS, Visits, Watch
from .people import DESKTOP, PHONE, Face, press
from .shop import Shop
from .stack import Stack
from .states import REFUSALS, states
from .test_keyboard import tab_to
from .test_looks import violations

HOW_MANY = 17
_PHONES = itertools.count(1)


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Iterator[Shop]:
    with Shop(stack.web, "sk_development") as shop:
        yield shop


@pytest.fixture
def phones() -> Iterator[str]:
    """Numbers that no other test uses."""
    return (f"+7952377{number:04}" for number in _PHONES)


@pytest.mark.parametrize(
    ("accent", "face"),
    [("", DESKTOP), ("#ffee00", PHONE)],  # of all others, tests/test_theme.py computes it
    ids=str,
)
def test_axe_finds_no_violation_in_a_partners_colours(
    visits: Visits, stack: Stack, shop: Shop, watch: Watch, phones: Iterator[str], accent: str, face: Face
) -> None:
    watch.expects(*REFUSALS)
    found, stops = {}, 0
    for name, shown in states(visits, stack, shop, face, phones, accent):
        for scheme in ("light", "dark"):
            page_of(shown).emulate_media(color_scheme=scheme, reduced_motion="reduce")
            stops += 1
            if wrong := violations(shown):
                found[f"{name}, {scheme}"] = wrong
        page_of(shown).emulate_media(color_scheme="light", reduced_motion="reduce")
    assert found == {}
    assert stops == 2 * HOW_MANY


def page_of(shown: Page | Frame) -> Page:
    return shown if isinstance(shown, Page) else shown.page


@pytest.mark.parametrize("face", [PHONE, DESKTOP], ids=str)
def test_everything_has_an_edge_in_forced_colours(
    visits: Visits, stack: Stack, shop: Shop, watch: Watch, phones: Iterator[str], face: Face, tmp_path: Path
) -> None:
    """Backgrounds are the system's there, so that what can be pressed or typed into is known by its border."""
    watch.expects(*REFUSALS)
    folder = Path(os.environ.get("FORCED_COLORS_SHOTS", tmp_path))
    bare, stops = {}, 0
    for name, shown in states(visits, stack, shop, face, phones, forced_colors="active", color_scheme="dark"):
        stops += 1
        page_of(shown).screenshot(path=folder / f"{name}-{face}.png")
        assert shown.evaluate("matchMedia('(forced-colors: active)').matches")
        if without := shown.evaluate(WITHOUT_AN_EDGE):
            bare[name] = without
    assert bare == {}
    assert stops == HOW_MANY


WITHOUT_AN_EDGE = """() => [...document.querySelectorAll("button, a.primary, input, select, .number, .problem")]
  .filter((node) => node.checkVisibility() && node.type !== "hidden")
  .filter((node) => {
    const style = getComputedStyle(node);
    return style.borderTopStyle === "none" || parseFloat(style.borderTopWidth) < 1;
  })
  .map((node) => `${node.tagName}.${node.className} ${node.textContent.trim().slice(0, 20)}`)"""


def test_the_qr_code_and_the_focus_show_in_forced_colours(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(DESKTOP, forced_colors="active", color_scheme="dark")
    visitor.goes_to_code(phone, "telegram", "/widget/?key=pk_development")
    code = visitor.page.locator(".qr-code")
    expect(code).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(code.locator("path")).to_have_css("stroke", "rgb(0, 0, 0)")
    tab_to(visitor.page, "a.telegram")
    tab_to(visitor.page, "#code")


def test_nothing_moves_for_who_wants_it_so(visits: Visits, stack: Stack, phone: str) -> None:
    moving = {}
    for motion in ("reduce", "no-preference"):
        visitor = visits.visitor(DESKTOP, reduced_motion=motion)
        visitor.goes_to_code(phone, "sms", "/widget/?key=pk_development")
        moving[motion] = visitor.page.evaluate(MOVING)
    assert moving["reduce"] == []
    assert moving["no-preference"] != [], "else this finds nothing"


MOVING = """() => [...document.querySelectorAll("*")].filter((node) => {
  const style = getComputedStyle(node);
  return style.transitionDuration.split(", ").some((one) => one !== "0s") || style.animationName !== "none";
}).map((node) => node.className)"""


def test_the_modal_by_keyboard_alone(visits: Visits, stack: Stack, shop: Shop, watch: Watch, phone: str) -> None:
    watch.expects("KodgateClosed")
    page = visits.page(DESKTOP)
    shop.pages["/keyboard"] = (
        f'<a href="#">Tea</a><script src="{stack.web}/static/embed.js" data-key="pk_development" async></script>'
    )
    page.goto(shop.origin() + "/keyboard")
    button = page.get_by_role("button", name="Log in")
    expect(button).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    within = page.frame_locator("iframe")
    expect(within.locator("#to")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    expect(button).to_be_focused()

    page.keyboard.press("Enter")
    expect(within.locator("#to")).to_be_focused()
    page.keyboard.type(phone)
    page.keyboard.press("Enter")
    expect(within.locator("#code")).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        if within.locator(".way[value=sms]").evaluate("(node) => node === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(within.locator("#code")).to_be_focused()
    page.keyboard.type(stack.code(phone))
    expect(page.locator("dialog")).to_have_count(0)
    expect(button).to_be_focused()


# What a screen reader says


def test_the_states_are_named(visits: Visits, stack: Stack, phone: str, other_phone: str) -> None:
    visitor = visits.visitor(DESKTOP)
    main = visitor.page.locator("main")
    visitor.begins("/widget/?key=pk_development&flow=channel-first")
    expect(main).to_match_aria_snapshot("""
      - heading "Where shall we send the code?" [level=1]
      - list:
        - listitem:
          - button /Telegram/
    """)
    visitor.begins("/widget/?key=pk_development")
    expect(main).to_match_aria_snapshot("""
      - heading "Log in" [level=1]
      - textbox "Phone number"
      - button "Continue"
    """)
    visitor.gives(phone)
    expect(main).to_match_aria_snapshot("""
      - heading "Get the code in Telegram" [level=1]
      - status:
        - list
        - link "Open Telegram"
      - textbox "Code, 6 digits"
      - button "Log in"
      - heading "No code?" [level=2]
      - list:
        - listitem:
          - button "Send by WhatsApp"
    """)
    stack.connect(other_phone)
    visitor.begins("/widget/?key=pk_development")
    visitor.gives(other_phone)
    expect(main).to_match_aria_snapshot(r"""
      - heading "Confirm in Telegram" [level=1]
      - status:
        - paragraph: "Tap this number in Telegram, and you are in:"
        - paragraph: /\d\d/
        - link "Open Telegram"
      - textbox "Code, 6 digits"
    """)


def test_the_modal_is_named(visits: Visits, stack: Stack, shop: Shop) -> None:
    page = visits.page(DESKTOP)
    shop.pages["/named"] = f'<script src="{stack.web}/static/embed.js" data-key="pk_development" async></script>'
    page.goto(shop.origin() + "/named")
    page.get_by_role("button", name="Log in").click()
    expect(page.frame_locator("iframe").locator("#to")).to_be_visible()
    expect(page.locator("body")).to_match_aria_snapshot("""
      - dialog "Log in":
        - iframe
        - button "Close"
    """)
    expect(page.locator("iframe")).to_have_attribute("title", "Log in")


# Pictures for the README

SHOPS_LOOK = "html { color-scheme: light dark; color: CanvasText } body { font: 1rem system-ui; margin: 2rem }"


@pytest.mark.parametrize(("face", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_draw_the_embedded_screenshots(
    visits: Visits, stack: Stack, shop: Shop, phone: str, other_phone: str, face: Face, scheme: Any, tmp_path: Path
) -> None:
    """SCREENSHOTS=1 puts them into docs/, otherwise they are only proven to be drawn."""
    folder = SCREENSHOTS if os.environ.get("SCREENSHOTS") == "1" else tmp_path
    script = f'<script src="{stack.web}/static/embed.js" data-key="pk_development" {{more}} async></script>'
    words = f"<style>{SHOPS_LOOK}</style><p>Tea.</p>"
    shop.pages["/modal"] = words + script.replace("{more}", "")
    shop.pages["/inline"] = words + script.replace("{more}", 'data-mode="inline"')
    visitor = visits.visitor(face, color_scheme=scheme, reduced_motion="reduce")
    page = visitor.page
    within = page.frame_locator("iframe")

    def draw(name: str) -> None:
        page.mouse.move(0, 0)
        page.screenshot(path=folder / f"{name}-{face.width}-{scheme}.png")
        assert (folder / f"{name}-{face.width}-{scheme}.png").stat().st_size <= HEAVIEST

    page.goto(shop.origin() + "/modal")
    page.get_by_role("button", name="Log in").click()
    expect(within.locator("#to")).to_be_visible()
    page.wait_for_timeout(300)
    draw("modal")
    page.goto(shop.origin() + "/inline")
    expect(within.locator("#to")).to_be_visible()
    within.locator("#to").fill(other_phone)
    press(page, within.locator("form .primary"))
    expect(within.locator("#code")).to_be_visible()
    page.wait_for_timeout(300)
    draw("inline")
    stack.connect(phone)
    visitor.begins(f"/widget/?key=pk_development&return_to={shop.origin()}/done")
    visitor.gives(phone)
    expect(page.locator("#region-number .big")).to_be_visible()
    visitor.sees_code_sent()
    draw("number")


HEAVIEST = 60 * 1024  # bytes of a picture
