"""Arabic, added to a copy of Kodgate as any language would be: pages run from right to left, numbers do not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from playwright.sync_api import Page, expect

from .conftest import Visits, Watch, running
from .people import NARROW, PHONE_PLAIN, Face, Visitor
from .stack import ROOT, Stack
from .test_looks import STICKING_OUT, violations

HOUSES = ("gateway", "web", "bot", "sandbox", "templates", "static")


@pytest.fixture(scope="module")
def arabic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product with a catalogue in Arabic, and English where that says nothing."""
    folder = tmp_path_factory.mktemp("arabic")
    tree = folder / "tree"
    for house in HOUSES:
        shutil.copytree(ROOT / house, tree / house, ignore=shutil.ignore_patterns("__pycache__"))
    add(tree / "gateway/i18n.py", '"tr")', '"tr", "ar")')
    add(tree / "web/pages.py", '    "tr": "Türkçe",\n', '    "tr": "Türkçe",\n    "ar": "العربية",\n')
    catalogue = tree / "templates/locale/ar/LC_MESSAGES/kodgate.mo"
    catalogue.parent.mkdir(parents=True)
    with Path(__file__).with_name("ar.po").open("rb") as source, catalogue.open("wb") as compiled:
        write_mo(compiled, read_po(source, locale="ar"))
    yield from running(Stack(folder, PYTHONPATH=str(tree)))


def add(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def pages(visitor: Visitor, phone: str) -> Iterator[tuple[str, Page]]:
    page = visitor.page
    visitor.begins("/")
    yield "home", page
    visitor.begins("/widget/?key=pk_development&flow=channel-first")
    expect(page.locator(".channel").first).to_be_visible()
    yield "channels", page
    visitor.begins()
    yield "entry", page
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    yield "code-telegram", page
    visitor.switches_to("sms")
    if not visitor.face.script:
        visitor.reloads_until(page.locator("[data-delivery=sent]"))
    expect(visitor.delivery).to_have_attribute("data-delivery", "sent")
    yield "code-sms", page
    code = page.url.removeprefix(visitor.stack.web)
    visitor.types("000000")
    expect(visitor.problem).to_be_visible()
    yield "code-wrong", page
    visitor.types(visitor.stack.code(phone))
    visitor.is_logged_in_as(phone)
    yield "profile", page
    visitor.begins(code)
    expect(visitor.over).to_be_visible()
    yield "over", page


@pytest.mark.parametrize("face", [NARROW, PHONE_PLAIN], ids=str)
def test_every_page_runs_from_right_to_left_and_holds_together(
    visits: Visits, arabic: Stack, watch: Watch, phone: str, face: Face
) -> None:
    watch.expects(410)
    visitor = visits.visitor(face, stack=arabic, locale="ar", reduced_motion="reduce")
    wrong = {}
    numbers = 0
    for name, page in pages(visitor, phone):
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        expect(page.locator("html")).to_have_attribute("lang", "ar")
        page.locator(".languages summary").click()
        expect(page.locator(".languages a[aria-current]")).to_have_text("العربية")
        found = page.evaluate(STICKING_OUT) if face is NARROW else []
        found += page.evaluate(BACKWARDS)
        found += violations(page) if face is NARROW else []
        numbers += page.evaluate("() => document.querySelectorAll('main bdi').length")
        page.locator(".languages summary").click()
        if found:
            wrong[name] = found
    assert wrong == {}
    assert numbers >= 6


def test_what_stands_first_stands_on_the_right(visits: Visits, arabic: Stack, phone: str) -> None:
    visitor = visits.visitor(NARROW, stack=arabic, locale="ar")
    page = visitor.page
    visitor.begins("/widget/?key=pk_development&flow=channel-first")
    expect(page.locator(".channel").first).to_be_visible()
    assert middle(page, ".channel svg") > middle(page, ".channel .channel-text")
    visitor.begins()
    assert visitor.contact.evaluate("(field) => getComputedStyle(field).direction") == "ltr"
    visitor.gives(phone)
    visitor.is_asked_for_code("telegram")
    assert visitor.code.evaluate("(field) => getComputedStyle(field).direction") == "ltr"
    number = page.locator(".steps li").first.evaluate("""(item) => {
        const { right, left } = getComputedStyle(item, "::before");
        const { paddingRight, paddingLeft } = getComputedStyle(item);
        return [right, parseFloat(left) > 100, parseFloat(paddingRight) > 20, paddingLeft];
    }""")
    assert number == ["0px", True, True, "0px"]
    assert middle(page, ".way svg") > middle(page, ".way span")
    expect(page.locator(".steps li").nth(1)).to_contain_text("مشاركة رقمي")


def test_it_would_notice_a_number_that_runs_backwards(visits: Visits) -> None:
    page = visits.page()
    page.set_content('<html dir="rtl"><main><p>إلى <bdi dir="rtl">+7 ••• ••• 36</bdi></p></main>')
    assert page.evaluate(BACKWARDS) == ["+7 ••• ••• 36"]


def middle(page: Page, selector: str) -> float:
    box = page.locator(selector).first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2


# Each number and mask whose first sign is not to the left of its last.
BACKWARDS = r"""() => {
  const place = (text, at) => {
    const range = document.createRange();
    range.setStart(text, at);
    range.setEnd(text, at + 1);
    return range.getBoundingClientRect().left;
  };
  const texts = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const found = [];
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const number = text.data.match(/\+\d[\d\s•-]*\d/);
    if (!number || !text.parentElement.checkVisibility()) continue;
    if (place(text, number.index) >= place(text, number.index + number[0].length - 1)) found.push(number[0]);
  }
  return found;
}"""
