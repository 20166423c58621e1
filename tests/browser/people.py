"""Page objects: a visitor of the site, and the Telegram user with the sandbox's phone in hand."""

import re
from dataclasses import dataclass
from functools import partial

from playwright.sync_api import ElementHandle, Frame, FrameLocator, Locator, Page, expect

from gateway.i18n import translate
from tests.servers import until

from .stack import Stack

ENOUGH_FOR_A_PERSON = 40_000.0  # ms: what a machine needs at worst that drives two browsers on two cores


@dataclass(frozen=True)
class Face:
    """How somebody browses: the window, and whether scripts run."""

    name: str
    width: int
    height: int
    touch: bool = False
    script: bool = True

    def __str__(self) -> str:
        return self.name


PHONE = Face("phone", 360, 740, touch=True)
PHONE_PLAIN = Face("phone-no-script", 360, 740, touch=True, script=False)
DESKTOP = Face("desktop", 1280, 800)
DESKTOP_PLAIN = Face("desktop-no-script", 1280, 800, script=False)
NARROW = Face("narrow", 320, 640, touch=True)
EVERY_FACE = (PHONE, PHONE_PLAIN, DESKTOP, DESKTOP_PLAIN)


def press(page: Page, what: Locator) -> None:
    """Press it once the frames that embed.js made are as high as what they show.

    What is scrolled in a dialog moves with the frame's height. Playwright looks for movement in the frame alone,
    and would press where the button was.
    """
    for frame in page.frames[1:]:
        element = frame.frame_element()
        if element.evaluate(GIVEN_HEIGHT):
            until(partial(_has_its_height, frame, element), "the frame is as high as its page")
    what.click()


GIVEN_HEIGHT = "(frame) => frame.style.height"
OWN_HEIGHT = "() => `${Math.ceil(document.body.getBoundingClientRect().height)}px`"


def _has_its_height(frame: Frame, element: ElementHandle) -> bool:
    return bool(frame.evaluate(OWN_HEIGHT) == element.evaluate(GIVEN_HEIGHT))


class Visitor:
    """Somebody who logs in on the site, or in the only frame of another one, step by step."""

    def __init__(self, page: Page, stack: Stack, face: Face, framed: bool = False) -> None:
        self.page = page
        self.stack = stack
        self.face = face
        self.within: Page | FrameLocator = page.frame_locator("iframe") if framed else page
        self.contact = self.within.locator("#to")
        self.code = self.within.locator("#code")
        self.problem = self.within.get_by_role("alert")
        self.heading = self.within.locator("h1")
        self.delivery = self.within.locator("#region-delivery")
        self.over = self.within.locator("main[data-over]")
        self.profile = self.within.locator("#contact")

    def in_frame(self) -> "Visitor":
        """The same person within the page's only frame."""
        return Visitor(self.page, self.stack, self.face, framed=True)

    # Steps

    def begins(self, address: str = "/login") -> None:
        self.page.goto(self.stack.web + address)

    def gives(self, contact: str) -> None:
        """Type a phone or an email, and go on."""
        if "@" in contact and self.contact.get_attribute("type") != "email":
            press(self.page, self.within.locator("main a[href*='by=email']"))
            expect(self.contact).to_have_attribute("type", "email")
        self.contact.fill(contact)
        press(self.page, self.within.locator("main form .primary"))

    def chooses(self, channel: str) -> None:
        """The best channel was taken at once; another one stands below the code."""
        expect(self.code).to_be_visible()
        if self.delivery.get_attribute("data-channel") != channel:
            press(self.page, self.way(channel))
        self.is_asked_for_code(channel)

    def begins_with(self, channel: str) -> None:
        """In the channel-first flow."""
        press(self.page, self.within.locator(f".channel[data-channel={channel}]"))
        expect(self.contact).to_be_visible()

    def switches_to(self, channel: str) -> None:
        """Take another way, or the same again, below the code."""
        press(self.page, self.way(channel))
        self.is_asked_for_code(channel)

    def way(self, channel: str) -> Locator:
        return self.within.locator(f".way[value={channel}]")

    def types(self, code: str) -> None:
        """With the script, the last digit sends the form."""
        self.code.fill(code)
        if not self.face.script:
            press(self.page, self.within.locator("form[data-code] button"))

    def goes_to_code(self, contact: str, channel: str, address: str = "/login") -> None:
        self.begins(address)
        self.gives(contact)
        if "@" not in contact:
            self.chooses(channel)
        self.is_asked_for_code(channel)

    # What is then there

    def is_asked_for_code(self, channel: str) -> None:
        expect(self.within.locator(f"#region-delivery[data-channel={channel}]")).to_be_visible()
        expect(self.code).to_be_visible()

    def sees_code_sent(self) -> None:
        """By itself with the script, after a reload without."""
        if not self.face.script:
            self.reloads_until(self.page.locator("[data-delivery=sent]"))
        expect(self.delivery).to_have_attribute("data-delivery", "sent")
        expect(self.delivery).to_contain_text(self.says("The code is on its way to %(mask)s by %(channel)s."))

    def says(self, text: str) -> re.Pattern[str]:
        """This text of ours in the page's language, whatever fills its places."""
        lang = self.page.locator("html").get_attribute("lang") or ""
        return re.compile(re.sub(r"%\\\(\w+\\\)s", ".+", re.escape(translate(lang, text))))

    def speaks(self, language: str) -> None:
        """Choose another language for this page, by its own name."""
        self.page.locator(".languages summary").click()
        self.page.get_by_role("link", name=language, exact=True).click()

    def reloads_until(self, sign: Locator) -> None:
        for _ in range(50):
            if sign.count():
                return
            self.page.reload()
        expect(sign).to_be_visible()

    def is_logged_in_as(self, contact: str) -> None:
        expect(self.profile).to_have_text(contact)


class Chat:
    """The sandbox's phone with the bot's chat."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.wait_for_load_state()  # a page that a link opened has its buttons before its script
        self.start = page.locator("#start")
        self.ask = page.locator("#keyboard .ask")
        self.copy = page.locator(".inline .key").last

    def belongs_to(self, phone: str) -> None:
        """Say whose phone this is."""
        self.page.locator("#owner").click()
        self.page.locator("#owner-phone").fill(phone)
        self.page.locator("#owner-form .strong").click()
        expect(self.page.locator("#owner-number")).to_have_text(shown(phone))

    def presses_start(self) -> None:
        self.start.click()

    def shares_contact(self) -> None:
        self.ask.click()
        self.page.locator("#contact-form .strong").click()

    def code(self) -> str:
        """The code in the newest message that has one."""
        expect(self.copy).to_have_text(re.compile(r"\d{6}"))
        return re.sub(r"\D", "", self.copy.inner_text())

    def reads(self, words: str) -> None:
        expect(self.page.locator("#log .message:not(.mine)").filter(has_text=words).last).to_be_visible()


def shown(phone: str) -> str:
    """`+79523000001` as the sandbox's phone shows it."""
    return f"{phone[:2]} {phone[2:5]} {phone[5:8]}-{phone[8:10]}-{phone[10:]}"
