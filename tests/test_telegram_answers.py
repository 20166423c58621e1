"""Answers of a Bot API that make no sense: nothing is sent twice for them, and none is quoted in a log."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import SendMessage
from msgspec.structs import replace

from bot.talk import do
from gateway.channels import Channel
from gateway.providers import Message, Receipt, TransientError
from gateway.providers.calls import LONGEST_WAIT
from gateway.providers.telegram import TelegramProvider
from gateway.store import Busy
from tests.misbehaving import Answer, Misbehaving, html, in_turn, says

TIMEOUT = 5.0
CODE = "482173"
MESSAGE = Message(41, Channel.TELEGRAM, "+79522966236", CODE, f"Your code is {CODE}", "en", "Shop", 1, chat_id=7)
OF_ANOTHER_YEAR = says({"ok": True, "result": {"message_id": [1], "text": f"Your code is {CODE}"}})
TAKEN = {"message_id": 5, "date": 1_790_000_000, "chat": {"id": 7, "type": "private"}, "text": "sent"}
GARBLED: Answer = lambda handler: handler.answer(200, f'{{"ok": true, "result": "{CODE}'.encode())  # noqa: E731


async def nobody_blocks(bot_id: int, chat_id: int) -> None:
    pytest.fail(f"chat {chat_id} has blocked nobody, bot {bot_id} neither")


async def cant_note_it(bot_id: int, chat_id: int) -> None:
    raise Busy(f"that chat {chat_id} has blocked bot {bot_id} is not written down")


def send(
    behave: Answer, on_blocked: Callable[[int, int], Awaitable[None]] = nobody_blocks
) -> tuple[Receipt | TransientError, int]:
    """What became of a message, and how many calls it took."""
    [outcome], calls = send_to([7], behave, on_blocked)
    return outcome, calls


async def outcome_of(provider: TelegramProvider, message: Message) -> Receipt | TransientError:
    try:
        return await provider.send(message)
    except TransientError as problem:
        return problem


def send_to(
    chats: list[int], behave: Answer, on_blocked: Callable[[int, int], Awaitable[None]] = nobody_blocks
) -> tuple[list[Receipt | TransientError], int]:
    """The same, of one message after the other, each to its chat."""

    async def run(bot: Bot) -> list[Receipt | TransientError]:
        provider = TelegramProvider(lambda _: bot, TIMEOUT, on_blocked)
        try:
            return [await outcome_of(provider, replace(MESSAGE, chat_id=chat_id)) for chat_id in chats]
        finally:
            await bot.session.close()

    with Misbehaving(behave) as server:
        bot = Bot("1:sandbox", session=AiohttpSession(api=TelegramAPIServer.from_base(server.url)))
        return asyncio.run(run(bot)), len(server.seen)


def asks_to_wait(seconds: int) -> Answer:
    parameters = {"retry_after": seconds}
    return says({"ok": False, "error_code": 429, "description": "Too Many", "parameters": parameters}, 429)


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


def test_a_chat_that_hears_too_much_rests_alone_and_keeps_no_call_waiting() -> None:
    """Else one person who writes to the bot without end would stop everybody's codes."""
    outcomes, calls = send_to([7, 7, 8, 7, 9], in_turn(asks_to_wait(30), OF_ANOTHER_YEAR))
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [False, False, True, False, True]
    assert calls == 3, "while the chat rests, nobody asks"
    again = outcomes[1]
    assert isinstance(again, TransientError)
    assert again.retry_after == pytest.approx(30, abs=5)


def test_the_whole_bot_rests_once_two_chats_are_refused_one_after_the_other() -> None:
    outcomes, calls = send_to([7, 8, 9], in_turn(asks_to_wait(60), asks_to_wait(20), OF_ANOTHER_YEAR))
    assert calls == 2
    third = outcomes[2]
    assert isinstance(third, TransientError)
    assert third.retry_after == pytest.approx(20, abs=5), "until one of the two is not refused any more"


def test_two_chats_with_a_message_taken_in_between_rest_each_alone() -> None:
    behave = in_turn(asks_to_wait(30), OF_ANOTHER_YEAR, asks_to_wait(30), OF_ANOTHER_YEAR)
    outcomes, _ = send_to([7, 9, 8, 9], behave)
    assert [isinstance(outcome, Receipt) for outcome in outcomes] == [False, True, False, True]


def test_no_rest_outlasts_every_session() -> None:
    outcomes, _ = send_to([7, 7], asks_to_wait(99_999))
    waits = [outcome.retry_after or 0 for outcome in outcomes if isinstance(outcome, TransientError)]
    assert len(waits) == 2
    assert LONGEST_WAIT - 5 < min(waits) <= max(waits) <= LONGEST_WAIT


def test_a_bot_has_no_name_of_its_own_for_a_message() -> None:
    """Else Telegram's Gateway, beside it, would be told of the endings of messages that it knows nothing of."""
    for answer in (OF_ANOTHER_YEAR, says({"ok": True, "result": TAKEN})):
        assert send(answer) == (Receipt(), 1)
