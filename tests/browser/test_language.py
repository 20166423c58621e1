"""Every language, by the browser's and by the switch; Russian all the way."""

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from gateway.i18n import LANGUAGES, translate
from tests.servers import until
from web.pages import LANGUAGE_NAMES

from .conftest import Visits, Watch
from .people import DESKTOP, DESKTOP_PLAIN, NARROW, PHONE, PHONE_PLAIN, Face
from .stack import Stack
from .test_keyboard import tab_to
from .test_looks import STICKING_OUT, violations


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_browser_of_each_language_gets_it_on_every_step(
    visits: Visits, stack: Stack, watch: Watch, phone: str, lang: str
) -> None:
    watch.expects(410)
    visitor = visits.visitor(PHONE, locale=lang)

    def says(heading: str) -> None:
        expect(visitor.heading).to_have_text(translate(lang, heading))
        root = visitor.page.locator("html")
        expect(root).to_have_attribute("lang", lang)
        expect(root).to_have_attribute("dir", "ltr")

    visitor.begins("/widget/?key=pk_development&flow=channel-first")
    says("Where shall we send the code?")
    visitor.begins("/widget/?key=pk_development")
    says("Log in")
    visitor.gives(phone)
    visitor.chooses("sms")
    says("Enter the code")
    visitor.sees_code_sent()
    page = visitor.page.url
    visitor.types(stack.code(phone))
    says("Done")
    visitor.begins(page.removeprefix(stack.web))
    says("This code has been used")


def test_a_kazakh_reads_the_bot_in_kazakh(visits: Visits, stack: Stack, phone: str) -> None:
    visitor = visits.visitor(PHONE, locale="kk-KZ")
    visitor.goes_to_code(phone, "telegram")
    link = visitor.page.locator("a.telegram").get_attribute("href") or ""
    person = stack.person(phone, "kk")
    person.does("start", payload=link.partition("start=")[2])
    greeting = person.reads("Сәлеметсіз бе!")
    assert f"\u00a0{phone[-2:]} нөмірімен" in greeting
    person.is_asked_for_contact()
    person.does("contact")
    person.reads("Рахмет, бұл сіз екенсіз.")
    code = re.findall(r"\d{6}", person.reads("Kodgate сайтына кіру кодыңыз"))[0]
    visitor.sees_code_sent()
    visitor.types(code)
    visitor.is_logged_in_as(phone)


@pytest.mark.parametrize("address", ["/", "/login"])
def test_the_switch_is_small_and_whole_on_a_narrow_screen(visits: Visits, stack: Stack, address: str) -> None:
    page = visits.page(NARROW)
    page.goto(stack.web + address)
    closed = page.locator(".languages summary").bounding_box()
    assert closed
    assert closed["height"] < 48
    expect(page.locator(".languages a").first).not_to_be_visible()
    page.locator(".languages summary").click()
    for lang in LANGUAGES:
        link = page.get_by_role("link", name=LANGUAGE_NAMES[lang], exact=True)
        expect(link).to_be_visible()
        box = link.bounding_box()
        assert box
        assert box["height"] >= 24  # WCAG 2.2, target size
    assert page.evaluate(STICKING_OUT) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(page) == []
    page.emulate_media(forced_colors="active")
    assert style(page, ".languages a[aria-current]", "borderTopStyle") == "solid"
    assert style(page, ".languages a:not([aria-current])", "borderTopStyle") == "none"


def style(page: Page, selector: str, name: str) -> str:
    return str(page.locator(selector).first.evaluate("(node, name) => getComputedStyle(node)[name]", name))


@pytest.mark.parametrize("face", [DESKTOP, DESKTOP_PLAIN], ids=str)
def test_the_switch_is_worked_with_the_keyboard(visits: Visits, face: Face) -> None:
    visitor = visits.visitor(face)
    page = visitor.page
    visitor.begins()
    tab_to(page, ".languages summary")
    page.keyboard.press("Enter")
    tab_to(page, ".languages a[hreflang=tr]")
    page.keyboard.press("Enter")
    expect(visitor.heading).to_have_text("Giriş yap")
    expect(page.locator(".languages details")).not_to_have_attribute("open", "")


@pytest.mark.parametrize("face", [PHONE, DESKTOP_PLAIN], ids=str)
def test_a_russian_browser_gets_russian_and_may_type_a_national_number(
    visits: Visits, stack: Stack, phone: str, face: Face
) -> None:
    visitor = visits.visitor(face, locale="ru-RU")
    visitor.begins()
    expect(visitor.heading).to_have_text("Войти")
    expect(visitor.page.locator("html")).to_have_attribute("lang", "ru")
    visitor.gives(f"8 {phone[2:5]} {phone[5:8]}-{phone[8:10]}-{phone[10:]}")
    expect(visitor.heading).to_have_text("Получите код в Telegram")
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
    visitor.speaks("Русский")
    expect(visitor.heading).to_have_text("Вход по телефону за секунды")
    visitor.page.get_by_role("link", name="Войти").click()
    visitor.gives(phone)
    expect(visitor.heading).to_have_text("Получите код в Telegram")
    visitor.chooses("sms")
    visitor.speaks("English")
    expect(visitor.heading).to_have_text("Enter the code")
    expect(visitor.page.locator(".languages summary")).to_have_text("English")
    expect(visitor.page.locator(".languages a[aria-current]")).to_have_text("English")
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
    visitor.speaks("Русский")
    expect(visitor.heading).to_have_text("Войти")
    visitor.gives(phone)
    visitor.chooses("sms")
    visitor.types("000000")
    expect(visitor.problem).to_have_text(re.compile("Неверный код"))
    visitor.speaks("English")
    expect(visitor.heading).to_have_text("Enter the code")


def test_a_project_of_one_language_speaks_it_to_everybody(visits: Visits, stack: Stack, phone: str) -> None:
    stack.add_project("pk_russian", name="Лавка", languages=("ru",))
    key = {"x-api-key": "pk_russian", "accept-language": "en"}

    def refused() -> str | None:  # a new key is known within a second
        answer = httpx.post(f"{stack.web}/session/create", json={"to": "nobody"}, headers=key)
        return None if answer.status_code == 401 else str(answer.json()["error"])

    assert until(refused, "the project is known").startswith("Проверьте")
    visitor = visits.visitor(PHONE, locale="en-US")
    visitor.begins("/widget/?key=pk_russian&lang=en")
    expect(visitor.page.locator("html")).to_have_attribute("lang", "ru")
    expect(visitor.page.locator(".languages")).to_have_count(0)
    visitor.gives(phone)
    visitor.chooses("sms")
    assert stack.code(phone)
    assert "Никому не говорите" in stack.letters(phone, "sms")[0]["text"]
