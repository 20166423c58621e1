"""Answers of a Bot API that make no sense: nothing is sent twice for them, and none is quoted in a log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import SendMessage

from bot.talk import do
from gateway.channels import Channel
from gateway.providers import Message, Receipt, TransientError
from gateway.providers.telegram import TelegramProvider
from gateway.store import Busy
from tests.misbehaving import Answer, Misbehaving, html, says

CODE = "482173"
MESSAGE = Message(41, Channel.TELEGRAM, "+79522966236", CODE, f"Your code is {CODE}", "en", "Shop", 1, chat_id=7)
OF_ANOTHER_YEAR = says({"ok": True, "result": {"message_id": [1], "text": f"Your code is {CODE}"}})
GARBLED: Answer = lambda handler: handler.answer(200, f'{{"ok": true, "result": "{CODE}'.encode())  # noqa: E731


async def nobody_blocks(bot_id: int, chat_id: int) -> None:
    pytest.fail(f"chat {chat_id} has blocked nobody, bot {bot_id} neither")


async def cant_note_it(bot_id: int, chat_id: int) -> None:
    raise Busy(f"that chat {chat_id} has blocked bot {bot_id} is not written down")


def send(
    behave: Answer, on_blocked: Callable[[int, int], Awaitable[None]] = nobody_blocks
) -> tuple[Receipt | TransientError, int]:
    """What became of a message, and how many calls it took."""

    async def run(bot: Bot) -> Receipt | TransientError:
        provider = TelegramProvider(lambda _: bot, 5.0, on_blocked)
        try:
            return await provider.send(MESSAGE)
        except TransientError as problem:
            return problem
        finally:
            await bot.session.close()

    with Misbehaving(behave) as server:
        bot = Bot("1:sandbox", session=AiohttpSession(api=TelegramAPIServer.from_base(server.url)))
        return asyncio.run(run(bot)), len(server.seen)


@pytest.mark.parametrize("behave", [html(502), html(200), GARBLED, says([]), says({}, 500)])
def test_no_answer_is_tried_again_and_its_words_are_not_repeated(behave: Answer) -> None:
    outcome, _ = send(behave)
    assert isinstance(outcome, TransientError)
    assert CODE not in str(outcome)
    assert "just a moment" not in str(outcome).lower()


def test_a_message_that_was_taken_is_not_sent_again_for_an_answer_of_another_year() -> None:
    outcome, calls = send(OF_ANOTHER_YEAR)
    assert isinstance(outcome, Receipt)
    assert calls == 1


@pytest.mark.parametrize(("behave", "calls"), [(OF_ANOTHER_YEAR, 1), (html(502), 2)])
def test_what_the_bot_says_is_said_again_only_where_it_was_not_taken(
    behave: Answer, calls: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(url: str) -> None:
        bot = Bot("1:sandbox", session=AiohttpSession(api=TelegramAPIServer.from_base(url)))
        try:
            async with asyncio.timeout(0.9):  # the second try is after half a second
                await do(bot, SendMessage(chat_id=7, text=f"Your code is {CODE}"))
        except TimeoutError:
            pass
        finally:
            await bot.session.close()

    caplog.set_level(logging.DEBUG)
    with Misbehaving(behave) as server:
        asyncio.run(run(server.url))
        said = server.seen
    assert len(said) == calls
    assert CODE not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("bot"))


def test_while_the_store_cannot_note_that_the_bot_is_blocked_the_message_waits() -> None:
    """Else the person would be taken for reachable by the bot, and the next code sent there as well."""
    blocked = says({"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}, 403)
    outcome, calls = send(blocked, cant_note_it)
    assert isinstance(outcome, TransientError)
    assert "chat 7 has blocked bot 1" in str(outcome)
    assert calls == 1
