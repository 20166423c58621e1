"""The widget's states that a partner's page and one tap bring, one after the other, with a partner's colours."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Frame, Page, Route, expect

from .conftest import Visits
from .people import Face, Visitor, press
from .shop import Shop
from .stack import Stack

State = tuple[str, Page | Frame]
REFUSALS = (400, 401, 403, 410, "Failed to load resource")  # what the console notes on the way
SCRIPT = '<script src="{kodgate}/static/embed.js" data-key="pk_development" {more} async></script>'


def states(
    visits: Visits, stack: Stack, shop: Shop, face: Face, phones: Iterator[str], accent: str = "", **options: Any
) -> Iterator[State]:
    """Each is a name and the page or frame that shows it, settled."""
    look = {"key": "pk_development", **({"accent": accent} if accent else {})}
    visitor = visits.visitor(face, reduced_motion="reduce", **options)
    yield from _channel_first(visitor, next(phones), urlencode({**look, "flow": "channel-first"}))
    yield from _one_tap(visits, visitor, stack, next(phones), urlencode(look), options)
    yield from _refused(visitor, look)
    colour = f'data-accent="{accent}"' if accent else ""
    yield from _framed(visitor, stack, shop, next(phones), colour)


def _channel_first(visitor: Visitor, phone: str, look: str) -> Iterator[State]:
    page = visitor.page
    visitor.begins(f"/widget/?{look}")
    expect(page.locator(".channel").first).to_be_visible()
    yield "channels", page
    visitor.begins_with("whatsapp")
    yield "entry-for-a-channel", page
    visitor.gives(phone)
    visitor.sees_code_sent()
    yield "code-channel-first", page


def _one_tap(
    visits: Visits, visitor: Visitor, stack: Stack, phone: str, look: str, options: dict[str, Any]
) -> Iterator[State]:
    page = visitor.page
    stack.connect(phone)
    visitor.begins(f"/widget/?{look}")
    visitor.gives(phone)
    number = page.locator("#region-number .big")
    expect(number).to_be_visible()
    visitor.sees_code_sent()
    yield "number", page

    held: list[Route] = []
    page.route("**/widget/collect", lambda route: held.append(route))
    address = page.url
    stack.person(phone).taps(number.inner_text())
    expect(page.get_by_role("heading", name="Confirmed in Telegram")).to_be_visible()
    yield "approved", page

    other = visits.visitor(visitor.face, reduced_motion="reduce", **options)
    other.page.goto(address)
    expect(other.over).to_have_attribute("data-over", "elsewhere")
    yield "over-elsewhere", other.page

    for route in held:
        route.continue_()
    page.unroute("**/widget/collect")
    expect(visitor.heading).to_have_text("Done")
    yield "done", page

    visitor.begins(f"/widget/?{look}")
    visitor.gives(phone)
    expect(number).to_be_visible()
    stack.person(phone).taps("It wasn’t me")
    expect(visitor.over).to_have_attribute("data-over", "closed")
    yield "over-closed", page


def _refused(visitor: Visitor, look: dict[str, str]) -> Iterator[State]:
    page = visitor.page
    for name, wrong in {
        "problem-unknown-key": {"key": "pk_unknown"},
        "problem-foreign-origin": {"origin": "https://evil.example.com"},
        "problem-foreign-return": {"return_to": "https://evil.example.com/"},
    }.items():
        visitor.begins(f"/widget/?{urlencode({**look, **wrong})}")
        expect(page.get_by_role("heading", name="Something is in the way")).to_be_visible()
        yield name, page


def _framed(visitor: Visitor, stack: Stack, shop: Shop, phone: str, colour: str) -> Iterator[State]:
    page = visitor.page
    shop.pages["/framed"] = SCRIPT.replace("{kodgate}", stack.web).replace("{more}", colour)
    page.goto(shop.origin() + "/framed")
    page.get_by_role("button", name="Log in").click()
    element = page.locator("dialog iframe")
    within = page.frame_locator("iframe")
    expect(within.locator("#to")).to_be_visible()
    handle = element.element_handle()
    frame = handle.content_frame() if handle else None
    assert frame
    frame.wait_for_load_state()
    yield "partners-page", page
    yield "framed-entry", frame
    within.locator("#to").fill("12")
    press(page, within.locator("form .primary"))
    expect(within.get_by_role("alert")).to_be_visible()
    yield "framed-problem", frame
    within.locator("#to").fill(phone)
    press(page, within.locator("form .primary"))
    expect(within.locator("#region-delivery[data-channel=telegram]")).to_be_visible()
    yield "framed-code-telegram", frame
    press(page, within.locator(".way[value=whatsapp]"))
    expect(within.locator("[data-channel=whatsapp][data-delivery=sent]")).to_be_visible()
    yield "framed-code-sent", frame
    page.evaluate(KEEP_OPEN)  # else the dialog closes as soon as the frame has said that it is done
    within.locator("#code").fill(stack.code(phone, "whatsapp"))
    expect(within.locator("h1")).to_have_text("Done")
    yield "framed-done", frame


KEEP_OPEN = "HTMLDialogElement.prototype.close = () => {}; Element.prototype.remove = () => {}"
