"""The sandbox behaves as Telegram does, as far as Kodgate looks: over real HTTP, with the real aiogram."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BotCommand,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    Message,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)

from gateway.channels import Channel
from gateway.i18n import LANGUAGES

ROOT = Path(__file__).resolve().parent.parent
BOT = "kodgate_sandbox_bot"
TOKEN = "1:sandbox"
PHONE = "79522966236"
T = TypeVar("T")


@dataclass
class Sandbox:
    """A running sandbox, and short ways to its control API."""

    url: str
    process: subprocess.Popen[bytes]
    http: httpx.Client

    def post(self, path: str, **body: Any) -> Any:
        response = self.http.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()

    def person(self, phone: str = PHONE, **more: Any) -> Any:
        return self.post("/api/people", phone=phone, **more)

    def act(self, user_id: int, action: str, /, **body: Any) -> Any:
        return self.post(f"/api/chats/{BOT}/{user_id}/{action}", **body)

    def history(self, user_id: int) -> Any:
        return self.http.get(f"/api/chats/{BOT}/{user_id}").raise_for_status().json()

    def fault(self, **fault: Any) -> None:
        self.post("/api/faults", **fault)

    def as_bot(self, work: Callable[[Bot], Awaitable[T]], token: str = TOKEN) -> T:
        async def run() -> T:
            session = AiohttpSession(api=TelegramAPIServer.from_base(self.url))
            async with Bot(token, session=session).context() as bot:
                return await work(bot)

        return asyncio.run(run())


@contextmanager
def running(state: Path) -> Iterator[Sandbox]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"SANDBOX_PORT": str(port), "SANDBOX_STATE": str(state), "HOST": "127.0.0.1"}
    process = subprocess.Popen([sys.executable, "-m", "sandbox"], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
            for _ in range(200):
                with suppress(httpx.TransportError):
                    if http.get("/healthz").json() == {"status": "ok"}:
                        break
                assert process.poll() is None, "the sandbox did not start"
                time.sleep(0.05)
            yield Sandbox(url, process, http)
    finally:
        process.terminate()
        process.wait(5)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox") / "state.json") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    """The one server of this module, without what an earlier test ordered or left behind."""
    yield shared
    shared.http.delete("/api/faults")
    shared.http.delete("/inbox.json")
    shared.http.get("/bot1:sandbox/deleteWebhook", params={"drop_pending_updates": "true"})


def test_a_visitor_is_activated_and_leaves_again(sandbox: Sandbox) -> None:
    me = sandbox.person()
    assert me["user_id"] == sandbox.person("+7 (952) 296-62-36")["user_id"]
    assert (me["first_name"], me["phone"]) == ("Alex", PHONE)
    user_id = me["user_id"]

    async def conversation(bot: Bot) -> None:
        assert (await bot.get_me()).username == BOT
        with pytest.raises(TelegramBadRequest, match="chat not found"):
            await bot.send_message(user_id, "Nobody has started this chat")

        await asyncio.to_thread(sandbox.act, user_id, "start", payload="01J-payload_x")
        (update,) = await bot.get_updates()
        message = update.message
        assert message is not None
        assert message.from_user is not None
        assert (message.text, message.from_user.id) == ("/start 01J-payload_x", user_id)
        assert message.entities is not None
        assert message.entities[0].type == "bot_command"

        button = KeyboardButton(text="Share", request_contact=True)
        keyboard = ReplyKeyboardMarkup(keyboard=[[button]], one_time_keyboard=True)
        await bot.send_message(user_id, "<b>Hello</b> & share", parse_mode="HTML", reply_markup=keyboard)
        history = await asyncio.to_thread(sandbox.history, user_id)
        assert history["keyboard"]["keyboard"][0][0]["request_contact"] is True
        assert history["messages"][-1]["entities"] == [{"offset": 0, "length": 5, "type": "bold"}]

        waiting = asyncio.create_task(bot.get_updates(offset=update.update_id + 1, timeout=20))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(sandbox.act, user_id, "contact")
        (update,) = await asyncio.wait_for(waiting, 10)
        assert update.message is not None
        contact = update.message.contact
        assert contact is not None
        assert (contact.phone_number, contact.user_id) == (PHONE, user_id)
        assert update.message.reply_to_message is not None
        assert (await asyncio.to_thread(sandbox.history, user_id))["keyboard"] is None
        await bot.send_message(user_id, "Thanks", reply_markup=ReplyKeyboardRemove())

        await asyncio.to_thread(sandbox.act, user_id, "block")
        with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
            await bot.send_message(user_id, "Are you there?")
        await asyncio.to_thread(sandbox.act, user_id, "start")
        blocked, unblocked, started = await bot.get_updates(offset=update.update_id + 1)
        assert blocked.my_chat_member is not None
        assert blocked.my_chat_member.new_chat_member.status == "kicked"
        assert unblocked.my_chat_member is not None
        assert unblocked.my_chat_member.new_chat_member.status == "member"
        assert started.message is not None
        assert started.message.text == "/start"

    sandbox.as_bot(conversation)


def test_contacts_of_others_arrive_as_what_they_are(sandbox: Sandbox) -> None:
    user_id = sandbox.person("+49 170 1234567")["user_id"]
    sandbox.act(user_id, "contact", phone_number="15551234567", user_id=42)
    sandbox.act(user_id, "contact", phone_number="+15551234567", user_id=None)
    sandbox.act(user_id, "contact", forwarded=True)

    async def read(bot: Bot) -> list[Message | None]:
        return [update.message for update in await bot.get_updates()]

    others, nobodys, forwarded = sandbox.as_bot(read)
    assert others is not None
    assert others.contact is not None
    assert others.contact.user_id == 42
    assert nobodys is not None
    assert nobodys.contact is not None
    assert nobodys.contact.user_id is None
    assert forwarded is not None
    assert forwarded.forward_origin is not None


def test_buttons_edits_and_answers(sandbox: Sandbox) -> None:
    user_id = sandbox.person("+7 900 000-00-01")["user_id"]
    sandbox.act(user_id, "start")
    rows = [
        [InlineKeyboardButton(text=n, callback_data=f"n:{n}") for n in ("17", "42", "88")],
        [InlineKeyboardButton(text="Copy", copy_text=CopyTextButton(text="480216"))],
        [InlineKeyboardButton(text="Site", url="http://localhost:8000/")],
    ]

    async def conversation(bot: Bot) -> None:
        (start,) = await bot.get_updates()
        markup = InlineKeyboardMarkup(inline_keyboard=rows)
        sent = await bot.send_message(user_id, "Which one?", reply_markup=markup)
        assert sent.reply_markup is not None
        assert sent.reply_markup.model_dump() == markup.model_dump()
        await asyncio.to_thread(sandbox.act, user_id, "callback", message_id=sent.message_id, data="n:42")
        (update,) = await bot.get_updates(offset=start.update_id + 1)
        query = update.callback_query
        assert query is not None
        assert (query.data, query.from_user.id) == ("n:42", user_id)
        assert await bot.answer_callback_query(query.id, "Right")
        with pytest.raises(TelegramBadRequest, match="query is too old"):
            await bot.answer_callback_query(query.id)

        edited = await bot.edit_message_text("Right!", chat_id=user_id, message_id=sent.message_id)
        assert isinstance(edited, Message)
        assert (edited.text, edited.reply_markup) == ("Right!", None)
        with pytest.raises(TelegramBadRequest, match="message is not modified"):
            await bot.edit_message_text("Right!", chat_id=user_id, message_id=sent.message_id)
        assert await bot.delete_message(user_id, sent.message_id)
        with pytest.raises(TelegramBadRequest, match="message to edit not found"):
            await bot.edit_message_text("Gone", chat_id=user_id, message_id=sent.message_id)
        assert (await bot.get_chat(user_id)).type == "private"
        await bot.set_my_commands([BotCommand(command="stop", description="No more codes")])
        assert [command.command for command in await bot.get_my_commands()] == ["stop"]
        assert await bot.send_chat_action(user_id, "typing")

    sandbox.as_bot(conversation)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"text": " "}, "Bad Request: message text is empty"),
        ({"text": "x" * 4097}, "Bad Request: message is too long"),
        ({"text": "<b>x", "parse_mode": "HTML"}, "can't parse entities: Can't find end tag corresponding to"),
        ({"text": "<b>x</i>", "parse_mode": "HTML"}, 'expected "</b>", found "</i>"'),
        ({"text": "<q>x</q>", "parse_mode": "HTML"}, 'Unsupported start tag "q" at byte offset 0'),
        ({"text": "x", "reply_markup": "{"}, "can't parse reply keyboard markup JSON object"),
        ({"text": "x", "reply_markup": '{"inline_keyboard":[[{"text":"a"}]]}'}, "Text buttons are unallowed"),
        ({"text": "x", "chat_id": "12345"}, "Bad Request: chat not found"),
    ],
)
def test_a_bad_message_is_refused_in_telegrams_words(sandbox: Sandbox, params: dict[str, str], error: str) -> None:
    user_id = sandbox.person("+7 900 000-00-02")["user_id"]
    sandbox.act(user_id, "start")
    response = sandbox.http.post("/bot1:sandbox/sendMessage", data={"chat_id": str(user_id)} | params)
    answer = response.json()
    assert (response.status_code, answer["ok"], answer["error_code"]) == (400, False, 400)
    assert error in answer["description"]


def test_tokens_and_methods_are_checked(sandbox: Sandbox) -> None:
    for path, status, description in (
        ("/botnonsense/getMe", 404, "Not Found"),
        ("/bot0:x/getMe", 401, "Unauthorized"),
        ("/bot1:sandbox/sendNonsense", 404, "Not Found"),
        ("/bot1:sandbox", 404, "Not Found"),
    ):
        response = sandbox.http.get(path)
        assert response.json() == {"ok": False, "error_code": status, "description": description}
        assert response.status_code == status

    async def whoami(bot: Bot) -> str | None:
        return (await bot.get_me()).username

    assert sandbox.as_bot(whoami, "77:other-token") == "sandbox_77_bot"
    with pytest.raises(TelegramUnauthorizedError):
        sandbox.as_bot(whoami, "0:x")


def test_only_one_reader_of_updates(sandbox: Sandbox) -> None:
    async def readers(bot: Bot) -> None:
        first = asyncio.create_task(bot.get_updates(timeout=20))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(bot.get_updates(timeout=1))
        with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
            await first
        assert await second == []
        await bot.set_webhook("http://127.0.0.1:9/nowhere")
        with pytest.raises(TelegramConflictError, match="webhook is active"):
            await bot.get_updates()
        assert (await bot.get_webhook_info()).url == "http://127.0.0.1:9/nowhere"

    sandbox.as_bot(readers)


def test_updates_are_acknowledged_by_offset(sandbox: Sandbox) -> None:
    raw = [sandbox.post(f"/api/bots/{BOT}/update", message={"broken": n})["update_id"] for n in range(3)]

    def get(**params: int) -> list[int]:
        answer = sandbox.http.get("/bot1:sandbox/getUpdates", params=params).json()
        return [update["update_id"] for update in answer["result"]]

    assert get() == raw
    assert get(limit=1) == raw[:1]
    assert get(offset=raw[1]) == raw[1:]
    assert get(offset=-1) == raw[2:]
    assert get(offset=raw[2] + 1) == []


def test_a_webhook_gets_updates_with_its_secret_and_answers_with_a_call(sandbox: Sandbox) -> None:
    user_id = sandbox.person("+7 900 000-00-03")["user_id"]
    received: list[tuple[str | None, bytes]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.headers["X-Telegram-Bot-Api-Secret-Token"], body))
            failed = len(received) == 1  # the first delivery fails, and is tried again
            answer = b'{"method":"sendMessage","chat_id":%d,"text":"by webhook"}' % user_id
            self.send_response(500 if failed else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/hook"
            sandbox.http.post("/bot1:sandbox/setWebhook", json={"url": url, "secret_token": "s3cret"})
            sandbox.act(user_id, "start", payload="hooked")
            wait_for(lambda: sandbox.history(user_id)["messages"][-1]["text"] == "by webhook")
            sandbox.http.post("/bot1:sandbox/deleteWebhook")
        finally:
            server.shutdown()
            thread.join()
    assert [secret for secret, _ in received] == ["s3cret", "s3cret"]
    assert b"/start hooked" in received[0][1]
    assert received[0] == received[1]


def test_faults_happen_as_ordered_and_calls_are_listed(sandbox: Sandbox) -> None:
    user_id = sandbox.person("+7 900 000-00-04")["user_id"]
    sandbox.act(user_id, "start")
    sandbox.fault(method="sendMessage", status=429, retry_after=7)
    sandbox.fault(method="*", status=502)
    sandbox.fault(method="sendMessage", drop=True, after=True)
    since = time.time()

    async def send(bot: Bot) -> None:
        with pytest.raises(TelegramRetryAfter) as refused:
            await bot.send_message(user_id, "one")
        assert refused.value.retry_after == 7
        with pytest.raises(TelegramServerError):
            await bot.send_message(user_id, "two")
        with pytest.raises(TelegramNetworkError):
            await bot.send_message(user_id, "three")
        await bot.send_message(user_id, "four")

    sandbox.as_bot(send)
    calls = sandbox.http.get("/api/calls", params={"method": "sendMessage"}).json()
    texts = [call["params"]["text"] for call in calls if call["at"] >= since]
    assert texts == ["one", "two", "three", "four"]
    # The third answer was lost, the message was not.
    assert [m["text"] for m in sandbox.history(user_id)["messages"]] == ["/start", "three", "four"]
    refused = sandbox.http.post("/api/faults", json={"status": "500"})
    assert refused.status_code == 400
    assert "status" in refused.json()["error"]


def test_a_restart_keeps_chats_and_unread_updates(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state.json"
    with running(state) as sandbox:
        user_id = sandbox.person("+7 900 000-00-05", first_name="Zoe")["user_id"]
        sandbox.act(user_id, "start", payload="before")
        before = sandbox.history(user_id)
        stream = sandbox.http.stream("GET", f"/api/chats/{BOT}/{user_id}/events")
        with stream as events, httpx.Client(base_url=sandbox.url, trust_env=False) as other:
            assert "snapshot" in next(text for text in events.iter_text() if "snapshot" in text)
            poll = threading.Thread(
                target=other.get, args=("/bot2:x/getUpdates",), kwargs={"params": {"timeout": 30}, "timeout": 30}
            )
            poll.start()
            time.sleep(0.2)
            sandbox.process.send_signal(signal.SIGTERM)
            assert sandbox.process.wait(10) == 0, "the poll would have lasted for thirty seconds"
            poll.join()
    with running(state) as sandbox:
        after = sandbox.history(user_id)
        assert (after["messages"], after["person"]) == (before["messages"], before["person"])
        (update,) = sandbox.http.get("/bot1:sandbox/getUpdates").json()["result"]
        assert update["message"]["text"] == "/start before"


def test_the_inbox_takes_what_the_webhook_provider_posts(sandbox: Sandbox) -> None:
    letter = {
        "message_id": "m1",
        "channel": "sms",
        "to": "+79522966236",
        "code": "4821",
        "text": "Code 4821\n\n@localhost #4821",
        "lang": "en",
        "project": "demo",
    }
    assert sandbox.post("/inbox", **letter)["ok"] is True
    assert sandbox.post("/inbox", **letter | {"channel": "email", "to": "a@b.example", "code": "99"})["ok"] is True
    newest, oldest = sandbox.http.get("/inbox.json").json()
    assert (newest["channel"], oldest["code"]) == ("email", "4821")
    assert oldest.keys() == {"channel", "to", "code", "text", "at"}
    assert oldest["at"].endswith("Z")
    assert len(sandbox.http.get("/inbox.json", params={"to": "+79522966236"}).json()) == 1
    assert len(sandbox.http.get("/inbox.json?to=79522966236&channel=sms").json()) == 1
    page = sandbox.http.get("/").text
    assert "+7 952 296-62-36" in page
    assert "a@b.example" in page

    for body, error in (
        ("{", "the body is not JSON"),
        ("[]", "the body must be a JSON object"),
        ('{"channel": "sms"}', "to is missing"),
        ('{"channel": "pigeon", "to": "1", "code": "2", "text": "3"}', "channel must be one of"),
    ):
        response = sandbox.http.post("/inbox", content=body)
        assert response.status_code == 400
        assert error in response.json()["error"]
    assert sandbox.http.post("/inbox", json=letter | {"text": "x" * 70_000}).status_code == 413

    sandbox.fault(method="inbox", status=503)
    assert sandbox.http.post("/inbox", json=letter).status_code == 503
    sandbox.fault(method="inbox", drop=True)
    with pytest.raises(httpx.TransportError):
        sandbox.http.post("/inbox", json=letter)
    assert len(sandbox.http.get("/inbox.json").json()) == 2
    sandbox.http.delete("/inbox.json")
    assert sandbox.http.get("/inbox.json").json() == []


def test_the_pages_speak_both_languages_and_never_run_what_they_show(sandbox: Sandbox) -> None:
    user_id = sandbox.person("+7 900 000-00-06")["user_id"]
    sandbox.act(user_id, "text", text="</script><script>alert(1)</script>")
    attack = {"channel": "viber", "to": "<img src=x>", "code": "1", "text": "<script>alert(1)</script>"}
    sandbox.post("/inbox", **attack)
    for path in (f"/{BOT}?start=abc&phone=79000000006", "/"):
        english = sandbox.http.get(path)
        assert 'lang="en"' in english.text
        assert "<script>alert" not in english.text
        assert "<img" not in english.text
        assert "default-src 'self'" in english.headers["Content-Security-Policy"]
        russian = sandbox.http.get(path, headers={"Accept-Language": "ru-RU,ru;q=0.9,en;q=0.5"})
        assert 'lang="ru"' in russian.text
    assert sandbox.http.get("/some_other_bot").status_code == 404
    for file in ("base.css", "chat.css", "chat.js", "inbox.css", "inbox.js", "icon.svg"):
        assert sandbox.http.get(f"/static/sandbox/{file}").status_code == 200


def test_the_gallery_shows_every_message_in_every_language(sandbox: Sandbox) -> None:
    page = sandbox.http.get("/messages").text
    assert page.count("<article") == len(Channel) * len(LANGUAGES)
    assert page.count("482173") >= len(Channel) * len(LANGUAGES)
    assert "Никому не говорите" in page
    assert "Min. gültig" in page
    assert "two messages" not in page
    for lang in LANGUAGES:
        letter = sandbox.http.get(f"/messages/email/{lang}.html")
        assert "482173" in letter.text
        assert f'lang="{lang}"' in letter.text
        assert "default-src 'none'" in letter.headers["Content-Security-Policy"]
    assert sandbox.http.get("/messages/email/xx.html").status_code == 404


def wait_for(condition: Callable[[], bool], patience: float = 15) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.03)
