"""Every page and state of the product, one after the other: for accessibility, narrow screens and screenshots."""

import re
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page, expect

from .conftest import Visits
from .people import Chat, Face, Visitor
from .stack import Stack

Stop = tuple[str, Page]


def tour(visits: Visits, stack: Stack, face: Face, phone: str, other: str, **options: Any) -> Iterator[Stop]:
    """Each stop is a name and the page that shows it, settled. `phone` and `other` are numbers nobody used."""
    visitor = visits.visitor(face, device_scale_factor=2 if face.touch else 1, reduced_motion="reduce", **options)
    page = visitor.page
    visitor.begins("/")
    yield "home", page
    yield from _entry(visitor)
    yield from _telegram(visitor, phone)
    yield from _logged_in(visitor, stack, phone)
    yield from _over(visitor, stack, other)
    yield from _sandbox(visitor, stack)


def _entry(visitor: Visitor) -> Iterator[Stop]:
    page = visitor.page
    visitor.begins()
    expect(visitor.contact).to_be_focused()
    yield "entry", page
    page.locator("#country").click()
    expect(page.locator("#country-list [data-active]")).to_be_visible()
    yield "entry-countries", page
    page.locator("#country-search").fill("atlantis")
    expect(page.locator("#countries [role=status]")).not_to_be_empty()
    yield "entry-no-country", page
    page.keyboard.press("Escape")
    visitor.gives("12")
    expect(visitor.problem).to_be_visible()
    yield "entry-problem", page
    page.locator("main a[href*='by=email']").click()
    expect(visitor.contact).to_have_attribute("type", "email")
    yield "entry-email", page


def _telegram(visitor: Visitor, phone: str) -> Iterator[Stop]:
    page = visitor.page
    visitor.begins("/widget/?key=pk_development&flow=channel-first")
    expect(page.locator(".channel").first).to_be_visible()
    yield "channels", page
    visitor.begins_with("sms")
    yield "entry-for-a-channel", page
    visitor.begins()
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    yield "code-telegram", page

    with page.context.expect_page() as opened:
        page.locator("a.telegram").click()
    chat = Chat(opened.value)
    expect(chat.start).to_be_visible()
    yield "sandbox-chat-first", chat.page
    chat.page.locator("#owner").click()
    yield "sandbox-chat-owner", chat.page
    chat.page.locator("#owner-phone").fill(phone)
    chat.page.locator("#owner-form .strong").click()
    chat.presses_start()
    expect(chat.ask).to_be_visible()
    yield "sandbox-chat-asked", chat.page
    chat.page.locator("#menu-button").click()
    yield "sandbox-chat-menu", chat.page
    chat.page.keyboard.press("Escape")
    chat.ask.click()
    yield "sandbox-chat-contact", chat.page
    chat.page.locator("#contact-form .strong").click()
    chat.code()
    yield "sandbox-chat", chat.page
    page.bring_to_front()


def _logged_in(visitor: Visitor, stack: Stack, phone: str) -> Iterator[Stop]:
    page = visitor.page
    visitor.sees_code_sent()
    yield "code-sent", page
    visitor.types("000000")
    expect(visitor.problem).to_be_visible()
    yield "code-wrong", page
    stack.order_fault(method="inbox", status=400)
    visitor.switches_to("viber")
    expect(visitor.delivery.locator(".problem")).to_be_visible()
    yield "code-failed", page
    visitor.switches_to("sms")
    visitor.sees_code_sent()
    yield "code-sms", page
    code = stack.code(phone)
    visitor.types(code)
    visitor.is_logged_in_as(phone)
    yield "profile", page
    page.go_back()
    expect(visitor.over).to_have_attribute("data-over", "used")
    yield "over-used", page
    visitor.begins("/")
    yield "home-logged-in", page


def _over(visitor: Visitor, stack: Stack, phone: str) -> Iterator[Stop]:
    page = visitor.page
    visitor.goes_to_code(phone, "sms", "/widget?key=pk_development")
    visitor.types(stack.code(phone))
    expect(visitor.heading).to_have_text(visitor.says("Done"))
    yield "done", page
    stranger = f"{phone[:-4]}8{phone[-3:]}"  # who has logged in here before would not have to rest
    visitor.goes_to_code(stranger, "whatsapp")
    code = stack.code(stranger, "whatsapp")
    for left in range(4, -1, -1):
        visitor.types(f"{(int(code) + 1) % 10**6:06}")
        expect(visitor.problem if left else visitor.over).to_contain_text(str(left) if left else re.compile(r"\S"))
    yield "over-closed", page
    page.locator("main a.primary").click()
    visitor.gives(stranger)
    expect(visitor.problem).to_be_visible()
    yield "entry-resting", page
    visitor.begins("/nothing")
    yield "problem", page


def _sandbox(visitor: Visitor, stack: Stack) -> Iterator[Stop]:
    page = visitor.page
    page.goto(stack.sandbox)
    expect(page.locator(".letters .card").first).to_be_visible()
    yield "sandbox-inbox", page
    page.goto(f"{stack.sandbox}/?channel=email")
    yield "sandbox-inbox-of-one-channel", page
    page.goto(f"{stack.sandbox}/no_such_bot")
    yield "sandbox-missing", page
