"""Updates in this process: what is answered to them, and what they leave behind."""

import asyncio
import gc
import itertools
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot
from aiogram.fsm.storage.memory import MemoryStorageRecord

from bot.bots import ServedBot
from gateway import errors
from gateway.channels import Channel
from gateway.contact import parse_contact
from gateway.local import LocalGateway
from gateway.projects import change_settings
from gateway.store import Outcome
from gateway.verbs import Created
from tests.databases import Database, execute
from tests.delivering import claim, finish
from tests.servers import payload
from tests.world import BOT_ID, World, make_world, new_phone

CHAT = 7
_numbers = itertools.count(1)


def answers(world: World, *messages: dict[str, Any], language: str = "en") -> list[str]:
    """What the bot says to what is written in a chat, each before the next; "" where it says nothing.

    By webhook, where what it says is the answer, so that no Bot API is needed.
    """
    config = world.settings.model_copy(update={"telegram_mode": "webhook"})
    person = {"id": CHAT, "is_bot": False, "first_name": "Ann", "language_code": language}
    head = {"date": 1_790_000_000, "chat": {"id": CHAT, "type": "private"}, "from": person}

    async def run() -> list[str]:
        served = ServedBot("1:sandbox", world.gateway, config, lambda: None)
        said = []
        for message in messages:
            number = next(_numbers)
            update = served.handling.read(
                {"update_id": number, "message": {"message_id": number, **head, **message}}
            )
            assert update
            handled = await served.handling.handle(update)
            assert handled
            said.append(getattr(handled.last, "text", ""))
        await served.bot.session.close()
        return said

    return asyncio.run(run())


def start(created: Created) -> dict[str, Any]:
    """Start, pressed behind a session's deep link."""
    telegram = next(channel for channel in created.channels if channel.type is Channel.TELEGRAM)
    return {"text": f"/start {payload({'link': telegram.link})}"}


def log_in(world: World, phone: str, channel: Channel) -> None:
    session_id = world.create(phone, channel=channel).session_id
    world.gateway.check(world.caller(), session_id, world.code_of(session_id))


def change_project(world: World, *changes: str) -> None:
    project = world.caller().project
    world.gateway.store.change_project(project.id, change_settings(project.settings, list(changes)))
    world.gateway.projects.forget()


def test_start_says_that_the_code_is_here_only_where_it_is(tmp_path: Path, database: Database) -> None:
    world, phone = make_world(tmp_path, limit_sends_destination="2/3600"), new_phone()
    world.activate(phone, CHAT)
    log_in(world, phone, Channel.SMS)
    [said] = answers(world, start(world.create(phone, send=False)))
    assert said.startswith("Too many attempts. Try again in")


def test_start_says_why_no_code_comes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = new_phone()
    world.activate(phone, CHAT)
    created = world.create(phone, send=False)
    change_project(world, "channels=sms")
    assert answers(world, start(created)) == ["This site does not send codes by this channel."]

    def is_over(*_: object) -> None:
        raise errors.SessionExpired

    monkeypatch.setattr(LocalGateway, "send", is_over)
    [said] = answers(world, start(created), language="de")
    assert "Link" in said, said


def test_start_says_that_a_code_is_here_that_waited_for_the_bot(world: World) -> None:
    phone = new_phone()
    created = world.create(phone, channel=Channel.TELEGRAM)
    assert world.activate(phone, CHAT) == 1
    [said] = answers(world, start(created))
    assert said.startswith("The code is here already")


def test_start_asks_anew_who_was_left_at_a_bot_that_the_project_had(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chats are handed over some at a time, and that may have been broken off."""
    phone, said = new_phone(), list[str]()

    async def heard(_: Bot, method: Any) -> None:
        said.append(method.text)

    monkeypatch.setattr("bot.handlers.do", heard)
    world.activate(phone, CHAT)
    execute(world.settings.database_url, "UPDATE activation SET bot_id = bot_id + 1, active = '0'")
    assert answers(world, start(world.create(phone, channel=Channel.TELEGRAM))) == [""]
    [greeting] = said
    assert parse_contact(phone).mask in greeting


def test_start_brings_the_code_that_a_blocked_bot_could_not_send_in_a_discreet_project_too(world: World) -> None:
    change_project(world, "discreet=yes")
    phone, store = new_phone(), world.gateway.store
    world.activate(phone, CHAT)
    created = world.create(phone, channel=Channel.TELEGRAM)
    [claimed] = claim(store, world.clock(), 1000, [Channel.TELEGRAM], 10)
    finish(store, [Outcome(claimed.id, "failed")], world.clock())
    world.gateway.deactivate(BOT_ID, CHAT)
    assert answers(world, start(created)) == [""]
    [again] = claim(store, world.clock(), 1000, [Channel.TELEGRAM], 10)
    assert (again.session_id, again.chat_id) == (created.session_id, CHAT)
    progress = world.gateway.progress(world.caller(), created.session_id)
    assert progress.deliveries == {"telegram": "parked"}, "nobody else is told"
    assert not progress.channels[0].is_active
    finish(store, [Outcome(again.id, "sent")], world.clock())
    [said] = answers(world, {"text": "/stop"}, start(created))[1:]
    assert said.startswith("The code is here already")


def test_who_reads_none_of_our_languages_is_answered_in_that_of_the_login(world: World) -> None:
    phone = new_phone()
    created = world.gateway.create(world.caller(lang="ru"), parse_contact(phone), Channel.TELEGRAM)
    session = world.gateway.linked_session(BOT_ID, start(created)["text"].removeprefix("/start "))
    world.gateway.expect(BOT_ID, CHAT, session)
    contact = {"contact": {"phone_number": phone, "first_name": "Ann", "user_id": CHAT}}
    said = answers(world, {"text": "/help"}, contact, start(created), language="be")
    assert [one.partition(" ")[0] for one in said] == ["Я", "Спасибо,", "Код"]
    assert answers(world, start(created), language="de")[0].startswith("Der Code")


def test_nobody_who_writes_to_the_bot_is_kept_in_memory(world: World) -> None:
    """By webhook, where what the bot says is the answer, so that no Bot API is needed."""
    config = world.settings.model_copy(update={"telegram_mode": "webhook"})

    async def run() -> None:
        served = ServedBot("1:sandbox", world.gateway, config, lambda: None)
        for number in range(1, 31):
            person = {"id": number, "is_bot": False, "first_name": "Ann"}
            chat = {"id": number, "type": "private"}
            message = {"message_id": 1, "date": 1_790_000_000, "chat": chat, "from": person, "text": "/help"}
            update = served.handling.read({"update_id": number, "message": message})
            assert update
            handled = await served.handling.handle(update)
            assert handled
            assert handled.last
        await served.bot.session.close()
        assert not [one for one in gc.get_objects() if isinstance(one, MemoryStorageRecord)]

    asyncio.run(run())
