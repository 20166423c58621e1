"""Russian, by the browser's language and by the switch."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from .conftest import Visits, Watch
from .people import DESKTOP, DESKTOP_PLAIN, PHONE, PHONE_PLAIN, Face
from .stack import Stack


@pytest.mark.parametrize("face", [PHONE, DESKTOP_PLAIN], ids=str)
def test_a_russian_browser_gets_russian_and_may_type_a_national_number(
    visits: Visits, stack: Stack, phone: str, face: Face
) -> None:
    visitor = visits.visitor(face, locale="ru-RU")
    visitor.begins()
    expect(visitor.heading).to_have_text("Войти")
    expect(visitor.page.locator("html")).to_have_attribute("lang", "ru")
    visitor.gives(f"8 {phone[2:5]} {phone[5:8]}-{phone[8:10]}-{phone[10:]}")
    expect(visitor.heading).to_have_text("Введите код")
    visitor.chooses("sms")
    visitor.sees_code_sent()
    assert "Никому не говорите" in stack.letters(phone, "sms")[0]["text"]
    visitor.types(stack.code(phone))
    visitor.is_logged_in_as(phone)
    expect(visitor.heading).to_have_text("Вы вошли")


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
def test_the_language_switch_stays_on_the_page_and_holds(visits: Visits, phone: str, face: Face) -> None:
    visitor = visits.visitor(face)
    visitor.begins("/")
    visitor.page.get_by_role("link", name="Русский").click()
    expect(visitor.heading).to_have_text("Вход по телефону за секунды")
    visitor.page.get_by_role("link", name="Войти").click()
    visitor.gives(phone)
    expect(visitor.heading).to_have_text("Введите код")
    visitor.chooses("sms")
    visitor.page.get_by_role("link", name="English").click()
    expect(visitor.heading).to_have_text("Enter the code")
    expect(visitor.page.get_by_role("link", name="English")).to_have_attribute("aria-current", "true")
    expect(visitor.code).to_be_visible()


@pytest.mark.parametrize("face", [DESKTOP, PHONE_PLAIN], ids=str)
def test_the_language_switch_works_on_the_answer_to_a_form(
    visits: Visits, watch: Watch, phone: str, face: Face
) -> None:
    watch.expects(400)
    visitor = visits.visitor(face)
    visitor.begins()
    visitor.gives("12")
    expect(visitor.problem).to_be_visible()
    visitor.page.get_by_role("link", name="Русский").click()
    expect(visitor.heading).to_have_text("Войти")
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types("000000")
    expect(visitor.problem).to_have_text(re.compile("Неверный код"))
    visitor.page.get_by_role("link", name="English").click()
    expect(visitor.heading).to_have_text("Enter the code")


def test_a_project_of_one_language_speaks_it_to_everybody(visits: Visits, stack: Stack, phone: str) -> None:
    stack.add_project("pk_russian", name="Лавка", languages=("ru",))
    key = {"x-api-key": "pk_russian", "accept-language": "en"}
    refused = httpx.post(f"{stack.web}/session/create", json={"to": "nobody"}, headers=key).json()
    assert refused["error"].startswith("Проверьте")
    visitor = visits.visitor(PHONE, locale="en-US")
    visitor.begins("/widget/?key=pk_russian&lang=en")
    expect(visitor.page.locator("html")).to_have_attribute("lang", "ru")
    expect(visitor.page.locator(".languages")).to_have_count(0)
    visitor.gives(phone)
    visitor.chooses("sms")
    assert stack.code(phone)
    assert "Никому не говорите" in stack.letters(phone, "sms")[0]["text"]
