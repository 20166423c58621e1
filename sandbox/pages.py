"""The pages that people look at: the phone with the bot's chat, and the inbox."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sandbox import bots
from sandbox.gallery import Gallery, languages
from sandbox.inbox import CHANNELS, Inbox, Letter
from sandbox.people import DEFAULT_PHONE, Person, parse_phone
from sandbox.state import World

_ROOT = Path(__file__).resolve().parent.parent
_TEMPLATES = _ROOT / "templates" / "sandbox"
_STATIC = _ROOT / "static" / "sandbox"

LANGUAGES = ("en", "ru")
PHONE_COOKIE = "sandbox_phone"
MAX_CARDS = 200

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

# A letter brings its style with it, and is looked at within the page of all messages.
_LETTER_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'self'"


class Pages:
    def __init__(self, world: World, inbox: Inbox, public_url: str) -> None:
        self.world = world
        self.inbox = inbox
        self.public_url = public_url
        self.texts: dict[str, dict[str, str]] = json.loads((_TEMPLATES / "texts.json").read_text("utf-8"))
        self.templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self.gallery = Gallery()
        inbox.languages = LANGUAGES
        inbox.render = self.card

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self.show_inbox),
            web.get("/messages", self.show_messages),
            web.get("/messages/email/{lang}.html", self.show_letter),
            web.get("/{bot:[A-Za-z][A-Za-z0-9_]{1,60}[Bb][Oo][Tt]}", self.show_chat),
            web.get("/favicon.ico", self.favicon),
            web.static("/static/sandbox", _STATIC),
        ]

    async def favicon(self, _request: web.Request) -> web.FileResponse:
        return web.FileResponse(_STATIC / "icon.svg", headers={"Content-Type": "image/svg+xml"})

    async def show_chat(self, request: web.Request) -> web.Response:
        lang = language(request)
        bot_id = bots.id_for(request.match_info["bot"])
        if bot_id is None:
            return self._page("missing.html", lang, status=404, bot=request.match_info["bot"])
        bot = self.world.bot(bot_id)
        person = self._person(request, lang)
        boot = {"view": self.world.view(bot, person), "texts": self.texts[lang], "cookie": PHONE_COOKIE}
        return self._page("chat.html", lang, bot=bot, person=person, boot=boot)

    async def show_inbox(self, request: web.Request) -> web.Response:
        lang = language(request)
        channel = request.query.get("channel", "")
        channel = channel if channel in CHANNELS else ""
        letters = [one for one in self.inbox.letters if not channel or one.channel == channel]
        cards = [self.card(letter, lang) for letter in letters[:MAX_CARDS]]
        counts = self.inbox.counts()
        return self._page(
            "inbox.html",
            lang,
            channel=channel,
            last=self.inbox.last(),
            channels=CHANNELS,
            counts=counts,
            cards=cards,
            max_cards=MAX_CARDS,
        )

    async def show_messages(self, request: web.Request) -> web.Response:
        return self._page("messages.html", language(request), samples=self.gallery.samples())

    async def show_letter(self, request: web.Request) -> web.Response:
        lang = request.match_info["lang"]
        if lang not in languages():
            raise web.HTTPNotFound
        html = self.gallery.letter(lang)
        return web.Response(
            text=html, content_type="text/html", headers={**_HEADERS, "Content-Security-Policy": _LETTER_POLICY}
        )

    def card(self, letter: Letter, lang: str) -> str:
        return self.templates.get_template("card.html").render(letter=letter, t=self.texts[lang])

    def _person(self, request: web.Request, lang: str) -> Person:
        """Whose phone this is: as the address says, as last time, or the default one's."""
        phone = parse_phone(request.query.get("phone", "")) or parse_phone(request.cookies.get(PHONE_COOKIE, ""))
        known = self.world.people.by_phone(phone or DEFAULT_PHONE)
        if known is None:
            known = self.world.people.meet(phone or DEFAULT_PHONE, language_code=lang)
            self.world.changed()
        return known

    def _page(self, template: str, lang: str, *, status: int = 200, **values: Any) -> web.Response:
        html = self.templates.get_template(template).render(
            t=self.texts[lang], lang=lang, public_url=self.public_url, default_bot=bots.username_for(1), **values
        )
        return web.Response(text=html, status=status, content_type="text/html", headers=_HEADERS)


def language(request: web.Request) -> str:
    """What `?lang=` asks for, else the first language of ours in Accept-Language, else English."""
    asked = request.query.get("lang")
    if asked in LANGUAGES:
        return asked
    for part in request.headers.get("Accept-Language", "").split(","):
        tag = re.match(r"\s*([a-z]{2})", part.lower())
        if tag and tag[1] in LANGUAGES:
            return tag[1]
    return "en"
