"""Email by SMTP, against real mail servers."""

import asyncio
import email
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import compat32
from email.utils import parseaddr
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import aiosmtplib
import msgspec
import pytest

from gateway.channels import Channel
from gateway.i18n import LANGUAGES
from gateway.providers import (
    Message,
    Options,
    PermanentError,
    SendError,
    TransientError,
    WrongProviderUrl,
    make_provider,
    smtp,
)
from gateway.providers.smtp import SmtpProvider
from gateway.render import render_message
from tests.providers.double_smtp import PASSWORD, USER, MailServer, Scripted, make_certificate
from tests.servers import becomes

# What aiosmtpd says of implicit TLS, where it does not see the TLS that protects AUTH.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning:aiosmtpd")

SENDER = "login@shop.example.com"
LOGIN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}"
OPTIONS = Options(timeout=5, concurrency=3, signing_key=b"k" * 32)
T = TypeVar("T")


def make_message(id: int = 1, *, to: str = "ann@example.com", lang: str = "en", project: str = "Shop") -> Message:
    host = "id.example.com"
    text = render_message(Channel.EMAIL, lang, code="123456", project=project, minutes=3, host=host)
    return Message(id, Channel.EMAIL, to, "123456", text, lang, project, project_id=1, host=host)


def with_provider(url: str, use: Callable[[SmtpProvider], Awaitable[T]], **changes: float) -> T:
    """Open the provider, use it and close it, as the delivery engine does."""

    async def run() -> T:
        provider = make_provider(url, Channel.EMAIL, msgspec.structs.replace(OPTIONS, **changes))
        assert isinstance(provider, SmtpProvider)
        try:
            return await use(provider)
        finally:
            await provider.close()

    return asyncio.run(run())


def send(url: str, *messages: Message, **changes: float) -> list[str]:
    """Send one after the other; their references."""

    async def use(provider: SmtpProvider) -> list[str]:
        return [(await provider.send(message)).reference for message in messages]

    return with_provider(url, use, **changes)


def refusal(url: str, message: Message | None = None, **changes: float) -> SendError:
    """Why it did not go; with nothing of the visitor's or the operator's in it."""
    message = message or make_message()
    with pytest.raises(SendError) as refused:
        send(url, message, **changes)
    assert not any(secret in str(refused.value) for secret in (PASSWORD, "hunter2", message.to, message.code))
    return refused.value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("smtp"))


@pytest.fixture(scope="module")
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def relay() -> Iterator[MailServer]:
    """One on this machine, without TLS and AUTH."""
    with MailServer() as server:
        yield server
        assert server.box.malformed == []


@pytest.fixture
def submission(tls: ssl.SSLContext) -> Iterator[MailServer]:
    """One as they are in the world: STARTTLS, then AUTH."""
    with MailServer(tls=tls) as server:
        yield server
        assert server.box.malformed == []


def relay_url(server: MailServer | Scripted) -> str:
    return f"smtp://127.0.0.1:{server.server_port}/?from={SENDER}&tls=off"


def submission_url(
    server: MailServer, cafile: Path, *, login: str = LOGIN, scheme: str = "smtp", host: str = "127.0.0.1"
) -> str:
    return f"{scheme}://{login}@{host}:{server.server_port}/?from={SENDER}&cafile={cafile}"


# The letter


def parts_of(letter: EmailMessage) -> dict[str, str]:
    assert letter.get_content_type() == "multipart/alternative"
    parts = list(letter.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert [part.get_content_charset() for part in parts] == ["utf-8", "utf-8"]
    return {part.get_content_subtype(): "\n".join(part.get_content().splitlines()) for part in letter.iter_parts()}


def test_a_letter_goes_over_starttls_with_auth(submission: MailServer, certificate: Path) -> None:
    [reference] = send(submission_url(submission, certificate), make_message())
    [letter] = submission.box.letters
    assert submission.box.envelopes == [(SENDER, ["ann@example.com"])]
    assert submission.logged_in == [("PLAIN", USER)]
    assert submission.box.greeted_as == "shop.example.com"
    assert letter["Message-ID"] == reference
    assert reference.endswith("@shop.example.com>")
    assert letter["From"] == SENDER
    assert letter["To"] == "ann@example.com"
    assert letter["Subject"] == "123456 is your login code for Shop"
    assert letter["List-Id"] == "<login.id.example.com>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["X-Auto-Response-Suppress"] == "All"
    assert abs(letter["Date"].datetime.timestamp() - time.time()) < 60
    assert "List-Unsubscribe" not in letter


@pytest.mark.parametrize("lang", LANGUAGES)
def test_both_parts_hold_the_code_in_the_visitors_language(relay: MailServer, lang: str) -> None:
    message = make_message(lang=lang, project="Магазин «Ёлка»")
    send(relay_url(relay), message)
    [letter] = relay.box.letters
    parts = parts_of(letter)
    assert parts["plain"].strip() == message.text
    assert ">123456<" in parts["html"]
    assert "Магазин «Ёлка»" in parts["html"]
    assert f'<html lang="{lang}">' in parts["html"]
    assert re.search(r"\b3 (min|мин|хв|Min|daq|dak)", parts["html"])
    assert letter["Subject"].startswith("123456")
    assert "Магазин «Ёлка»" in letter["Subject"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_html_loads_and_links_nothing(relay: MailServer, lang: str) -> None:
    send(relay_url(relay), make_message(lang=lang))
    html = parts_of(relay.box.letters[0])["html"]
    assert not any(word in html for word in ("http", "href", "src=", "url(", "<a", "<img", "<script", "@import"))


def test_a_projects_name_is_text_in_the_html_and_as_it_is_elsewhere(relay: MailServer) -> None:
    send(relay_url(relay), make_message(project="<b>&"))
    [letter] = relay.box.letters
    parts = parts_of(letter)
    assert "&lt;b&gt;&amp;" in parts["html"]
    assert "<b>" not in parts["html"]
    assert "<b>&" in parts["plain"]
    assert letter["Subject"].endswith("for <b>&")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\r\n\r\n", "\v", "\x85", "\u2028", "\0"])
def test_a_projects_name_begins_no_header(relay: MailServer, end: str) -> None:
    send(relay_url(relay), make_message(project=f"Shop{end}Bcc: eve@example.com"))
    [letter] = relay.box.letters
    assert letter["Bcc"] is None
    assert letter["Subject"] == "123456 is your login code for Shop Bcc: eve@example.com"
    assert relay.box.envelopes == [(SENDER, ["ann@example.com"])]


@pytest.mark.parametrize(
    "project",
    [
        "Магазин детских книг и настольных игр «Очень длинное имя» у метро Площадь Революции",
        "A shop that has a name of many words, all of them plain, which is longer than one line of a letter",
        "x" * 5000,
        "Shop 👨‍👩‍👧 😀",
        "",
    ],
)
def test_a_subject_of_any_length_arrives_whole(relay: MailServer, project: str) -> None:
    send(relay_url(relay), make_message(project=project))
    expected = f"123456 is your login code for {project}".strip()
    assert str(relay.box.letters[0]["Subject"]) == expected[:200]


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        (f"Shop <{SENDER}>", "Shop"),
        (f'"Shop, Inc." <{SENDER}>', "Shop, Inc."),
        (
            f"Магазин детских книг и настольных игр «Ёлка» <{SENDER}>",
            "Магазин детских книг и настольных игр «Ёлка»",
        ),
        (SENDER, ""),
        (f"<{SENDER}>", ""),
    ],
)
def test_the_sender_may_have_a_name(relay: MailServer, sender: str, name: str) -> None:
    url = f"smtp://127.0.0.1:{relay.server_port}?from={quote(sender)}&tls=off"
    send(url, make_message())
    # Python's newer parser puts a space between the words that a long name is encoded as.
    header = email.message_from_bytes(relay.box.contents[0], policy=compat32)["From"]
    assert parseaddr(str(make_header(decode_header(header)))) == (name, SENDER)
    [address] = relay.box.letters[0]["From"].addresses
    assert address.addr_spec == SENDER
    assert relay.box.envelopes[0][0] == SENDER


def test_a_long_host_name_and_lines_with_dots_stay_whole(relay: MailServer) -> None:
    host = f"{'a' * 60}.{'b' * 60}.example.com"
    message = msgspec.structs.replace(
        make_message(), host=host, text="123456\n.\n..\n.dot\nFrom here\n" + "y" * 2000
    )
    send(relay_url(relay), message)
    [letter] = relay.box.letters
    assert letter["List-Id"] == f"<login.{host}>"
    assert parts_of(letter)["plain"].rstrip("\n") == message.text


def test_a_letter_tried_again_has_the_same_message_id_and_another_letter_has_another(relay: MailServer) -> None:
    relay.box.answers["DATA"] = ["451 4.3.0 later"]
    one = make_message()
    first = refusal(relay_url(relay), one)
    assert isinstance(first, TransientError)
    others = [
        make_message(2),
        make_message(to="bob@example.com"),
        msgspec.structs.replace(one, code="654321"),  # after the database began anew
    ]
    again, *rest = send(relay_url(relay), one, *others)
    assert send(relay_url(relay), one) == [again]
    assert len({again, *rest}) == 4
    assert [letter["Message-ID"] for letter in relay.box.letters] == [again, *rest, again]
    assert "123456" not in again


@pytest.mark.parametrize(
    "to", ["+79522966236", "", "ann", "ann@example.com\r\nRCPT TO:<eve@example.com>", "a b@c.de"]
)
def test_only_an_address_is_written_to(relay: MailServer, to: str) -> None:
    with pytest.raises(PermanentError):
        send(relay_url(relay), make_message(to=to))
    assert relay.box.commands == []


# TLS and AUTH


def test_implicit_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    with MailServer(tls=tls, starttls=False) as server:
        send(submission_url(server, certificate, scheme="smtps", host="localhost"), make_message())
        assert len(server.box.letters) == 1
        assert server.logged_in == [("PLAIN", USER)]


def test_a_server_without_starttls_gets_nothing(relay: MailServer) -> None:
    refused = refusal(relay_url(relay).replace("&tls=off", ""))
    assert isinstance(refused, TransientError)
    assert "offers no STARTTLS" in str(refused)
    assert relay.box.commands == []


def test_a_certificate_that_nobody_signed_is_not_trusted(submission: MailServer, certificate: Path) -> None:
    refused = refusal(submission_url(submission, certificate).partition("&cafile")[0])
    assert isinstance(refused, TransientError)
    assert "certificate is not trusted: self-signed" in str(refused)
    assert submission.logged_in == []


def test_a_certificate_of_another_host_is_not_trusted(tmp_path: Path) -> None:
    other = make_certificate(tmp_path, "other.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other)
    for starttls, scheme in ((True, "smtp"), (False, "smtps")):
        with MailServer(tls=context, starttls=starttls) as server:
            refused = refusal(submission_url(server, other, scheme=scheme))
            assert "certificate is not trusted" in str(refused)
            assert server.logged_in == []


def test_tls_where_there_is_none_is_transient(relay: MailServer) -> None:
    refused = refusal(f"smtps://127.0.0.1:{relay.server_port}/?from={SENDER}")
    assert isinstance(refused, TransientError)


@pytest.mark.parametrize("excluded", ["LOGIN", "PLAIN"])
def test_either_way_of_auth_will_do(tls: ssl.SSLContext, certificate: Path, excluded: str) -> None:
    with MailServer(tls=tls, auth_exclude_mechanism=[excluded]) as server:
        send(submission_url(server, certificate), make_message())
        assert server.logged_in == [({"LOGIN": "PLAIN", "PLAIN": "LOGIN"}[excluded], USER)]


def test_a_server_without_a_known_way_of_auth(tls: ssl.SSLContext, certificate: Path) -> None:
    with MailServer(tls=tls, auth_exclude_mechanism=["LOGIN", "PLAIN"]) as server:
        assert "offers no AUTH" in str(refusal(submission_url(server, certificate)))


def test_a_wrong_password_fails_no_visitor_for_good(submission: MailServer, certificate: Path) -> None:
    refused = refusal(submission_url(submission, certificate, login="shop:hunter2"))
    assert isinstance(refused, TransientError)
    assert str(refused) == "the mail server refused the user or password: 535 5.7.8"


def test_a_server_that_wants_a_password_says_so(submission: MailServer, certificate: Path) -> None:
    url = submission_url(submission, certificate).replace(f"{LOGIN}@", "")
    refused = refusal(url)
    assert isinstance(refused, TransientError)
    assert str(refused) == "the mail server refused the sender: 530 5.7.0"


# What servers refuse


@pytest.mark.parametrize(
    ("command", "answer", "kind", "told"),
    [
        ("MAIL", "421 4.7.0 too many", TransientError, "the sender: 421 4.7.0"),
        ("MAIL", "451 4.7.1 greylisted", TransientError, "the sender: 451 4.7.1"),
        ("MAIL", "550 5.7.60 not your address", TransientError, "the sender: 550 5.7.60"),
        ("MAIL", "553 no such domain", TransientError, "the sender: 553"),
        ("RCPT", "421 4.3.2 closing", TransientError, "the recipient: 421 4.3.2"),
        ("RCPT", "450 4.2.1 <ann@example.com> try later", TransientError, "the recipient: 450 4.2.1"),
        ("RCPT", "452 4.2.2 <ann@example.com> is full", TransientError, "the recipient: 452 4.2.2"),
        ("RCPT", "550 5.1.1 <ann@example.com> unknown", PermanentError, "the recipient: 550 5.1.1"),
        ("RCPT", "552 5.2.2 <ann@example.com> is full", PermanentError, "the recipient: 552 5.2.2"),
        ("RCPT", "550-5.1.1 ann@example.com\r\n550 5.1.1 unknown", PermanentError, "the recipient: 550 5.1.1"),
        ("RCPT", "550 ann@example.com unknown", PermanentError, "the recipient: 550"),
        ("DATA", "421 4.3.0 closing", TransientError, "the letter: 421 4.3.0"),
        ("DATA", "452 4.3.1 no space", TransientError, "the letter: 452 4.3.1"),
        ("DATA", "550 5.7.1 123456 looks like spam", PermanentError, "the letter: 550 5.7.1"),
        ("DATA", "552 5.3.4 too big", PermanentError, "the letter: 552 5.3.4"),
        ("DATA", "554 5.6.0 no", PermanentError, "the letter: 554 5.6.0"),
    ],
)
def test_an_answer_is_transient_or_permanent_by_its_class_and_step(
    relay: MailServer, command: str, answer: str, kind: type[SendError], told: str
) -> None:
    relay.box.answers[command] = [answer]
    refused = refusal(relay_url(relay))
    assert type(refused) is kind
    assert str(refused) == f"the mail server refused {told}"
    assert relay.box.letters == []


def test_the_letter_after_a_refused_one_goes(relay: MailServer) -> None:
    relay.box.answers["RCPT"] = ["550 5.1.1 unknown", "450 4.2.1 later"]

    async def use(provider: SmtpProvider) -> None:
        with pytest.raises(PermanentError):
            await provider.send(make_message(1))
        with pytest.raises(TransientError):
            await provider.send(make_message(2))
        await provider.send(make_message(3))

    with_provider(relay_url(relay), use)
    assert len(relay.box.letters) == 1


# What servers do wrong


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_hangs_is_left_in_time(relay: MailServer, command: str) -> None:
    relay.box.answers[command] = [30.0]
    began = time.monotonic()
    refused = refusal(relay_url(relay), timeout=0.5)
    assert isinstance(refused, TransientError)
    assert str(refused) == "the mail server did not answer in time"
    assert time.monotonic() - began < 10


def test_a_server_that_says_nothing_at_all_is_left_in_time() -> None:
    with Scripted(b"", lambda _line: b"") as server:
        for url in (relay_url(server), f"smtps://127.0.0.1:{server.server_port}/?from={SENDER}"):
            began = time.monotonic()
            assert str(refusal(url, timeout=0.5)) == "the mail server did not answer in time"
            assert time.monotonic() - began < 10


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_connection_closed_halfway_is_transient(relay: MailServer, command: str) -> None:
    relay.box.answers[command] = [None]
    refused = refusal(relay_url(relay))
    assert isinstance(refused, TransientError)
    assert "broke off" in str(refused)
    assert relay.box.commands.count(command) == 1


@pytest.mark.parametrize(
    "greeting",
    [
        b"<!doctype html><title>Just a moment</title>\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\xff\xfe\r\n",
        b"\r\n",
        b"999 mail\r\n",
        b"220-" + b"x" * 2_000_000 + b"\r\n",
        b"554 5.7.1 not you\r\n",
        b"421 4.7.0 too many connections\r\n",
        b"220 mail.example.com\r\n",
    ],
)
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_what_is_no_mail_server_is_transient(greeting: bytes, scheme: str) -> None:
    with Scripted(greeting) as server:
        url = relay_url(server) if scheme == "smtp" else f"smtps://127.0.0.1:{server.server_port}/?from={SENDER}"
        assert isinstance(refusal(url, timeout=2), TransientError)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>\r\n",
        b"2\r\n",
        b"250-\xff\xff\r\n250 \xff\r\n",
        b"354 go on\r\n",
        b"250-AUTH CRAM-MD5\r\n250 AUTH=\r\n",
        b"334 !!!not base64\r\n",
        b"599 \r\n",
        b"-12 x\r\n",
        b"250" + b"-x" * 300_000,
    ],
)
@pytest.mark.parametrize("after", [b"EHLO", b"AUTH", b"MAIL", b"RCPT", b"DATA", b"."])
def test_answers_that_make_no_sense_are_send_errors(answer: bytes, after: bytes) -> None:
    def behave(line: bytes) -> bytes | None:
        if line.startswith(after):
            return answer
        if line.startswith(b"QUIT"):
            return None
        if line.startswith(b"EHLO"):
            return b"250-mail.example.com\r\n250 AUTH CRAM-MD5 PLAIN\r\n"
        if line.startswith(b"AUTH"):
            return b"235 2.7.0 welcome\r\n" if b"PLAIN" in line else b"504 5.5.4 not now\r\n"
        if line.startswith(b"DATA"):
            return b"354 go on\r\n"
        return b"250 2.0.0 OK\r\n" if line[:4] in (b"MAIL", b"RCPT", b".\r\n") else b""

    with Scripted(b"220 mail.example.com\r\n", behave) as server:
        url = f"smtp://shop:hunter2@127.0.0.1:{server.server_port}/?from={SENDER}&tls=off"
        with suppress(SendError):
            send(url, make_message(), timeout=0.5)


def test_nobody_there_is_transient() -> None:
    with MailServer() as server:
        url = relay_url(server)
    refused = refusal(url)
    assert isinstance(refused, TransientError)
    assert str(refused) == "the mail server could not be reached: ConnectionRefusedError"


def test_a_host_that_is_nowhere_is_transient() -> None:
    assert isinstance(refusal(f"smtp://mail.invalid/?from={SENDER}"), TransientError)


# Connections


def test_a_hundred_letters_share_a_few_connections(submission: MailServer, certificate: Path) -> None:
    async def use(provider: SmtpProvider) -> list[str]:
        receipts = await asyncio.gather(*(provider.send(make_message(number)) for number in range(100)))
        return [receipt.reference for receipt in receipts]

    references = with_provider(submission_url(submission, certificate), use, timeout=60)
    box = submission.box
    assert {letter["Message-ID"] for letter in box.letters} == set(references)
    assert len(box.letters) == len(set(references)) == 100
    assert len(box.connections) <= OPTIONS.concurrency
    assert box.commands.count("RSET") == 100 - len(box.connections)
    assert box.commands.count("QUIT") == len(box.connections)


def test_letters_one_after_the_other_need_one_connection(relay: MailServer) -> None:
    send(relay_url(relay), *(make_message(number) for number in range(10)))
    assert len(relay.box.connections) == 1
    assert len(relay.box.letters) == 10


def test_never_more_connections_than_a_server_bears(relay: MailServer) -> None:
    async def use(provider: SmtpProvider) -> None:
        await asyncio.gather(*(provider.send(make_message(number)) for number in range(50)))

    with_provider(relay_url(relay), use, concurrency=64, timeout=60)
    assert len(relay.box.letters) == 50
    assert len(relay.box.connections) <= 10


def test_an_idle_connection_is_left_with_a_goodbye(relay: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "_IDLE_SECONDS", 0.1)

    async def use(provider: SmtpProvider) -> None:
        await provider.send(make_message(1))
        assert "QUIT" not in relay.box.commands
        await becomes(lambda: relay.box.commands[-1] == "QUIT")
        await provider.send(make_message(2))

    with_provider(relay_url(relay), use)
    assert len(relay.box.connections) == 2


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RSET", None),
        ("RSET", 30.0),
        ("RSET", "421 4.4.2 idle for too long"),
        ("RSET", "500 5.5.1 what?"),
        ("MAIL", None),
        ("MAIL", "421 4.7.0 enough letters for one connection"),
    ],
)
def test_a_stale_connection_costs_no_attempt(relay: MailServer, command: str, answer: str | float | None) -> None:
    async def use(provider: SmtpProvider) -> None:
        await provider.send(make_message(1))
        relay.box.answers[command] = [answer]
        await provider.send(make_message(2))

    with_provider(relay_url(relay), use, timeout=3)
    assert len(relay.box.letters) == 2
    assert len(relay.box.connections) == 2


def test_a_connection_that_the_server_closed_meanwhile_costs_no_attempt(
    tls: ssl.SSLContext, certificate: Path
) -> None:
    async def use(provider: SmtpProvider) -> None:
        await provider.send(make_message(1))
        await asyncio.sleep(1.2)
        await provider.send(make_message(2))

    with MailServer(tls=tls, timeout=0.6) as server:
        with_provider(submission_url(server, certificate), use)
        assert len(server.box.letters) == 2
        assert len(server.box.connections) == 2


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_letter_is_started_over_only_before_any_of_it_was_accepted(relay: MailServer, command: str) -> None:
    async def use(provider: SmtpProvider) -> None:
        await provider.send(make_message(1))
        relay.box.answers[command] = [None]
        with pytest.raises(TransientError):
            await provider.send(make_message(2))

    with_provider(relay_url(relay), use)
    assert relay.box.commands.count(command) == 2
    assert len(relay.box.connections) == 1


def test_a_cancelled_letter_leaves_no_connection_behind(relay: MailServer) -> None:
    relay.box.answers["RCPT"] = [30.0]

    async def use(provider: SmtpProvider) -> None:
        task = asyncio.create_task(provider.send(make_message(1)))
        await becomes(lambda: "RCPT" in relay.box.commands)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await provider.send(make_message(2))

    with_provider(relay_url(relay), use)
    assert len(relay.box.letters) == 1
    assert len(relay.box.connections) == 2


# The operator's questions


def check(url: str) -> str:
    return with_provider(url, lambda provider: provider.check())


def test_check_connects_and_logs_in_and_sends_nothing(
    relay: MailServer, submission: MailServer, tls: ssl.SSLContext, certificate: Path
) -> None:
    assert check(submission_url(submission, certificate)) == f"127.0.0.1, TLSv1.3, as {USER}"
    assert submission.box.commands == ["NOOP", "QUIT"]
    with MailServer(tls=tls, starttls=False) as server:
        assert check(submission_url(server, certificate, scheme="smtps")) == f"127.0.0.1, TLSv1.3, as {USER}"
    assert check(relay_url(relay)) == "127.0.0.1, no TLS, without a user"
    with pytest.raises(SendError, match=r"refused the user or password: 535 5\.7\.8"):
        check(submission_url(submission, certificate, login="shop:hunter2"))


def test_check_of_a_server_that_hangs_ends_in_time(relay: MailServer) -> None:
    relay.box.answers["NOOP"] = [30.0]
    began = time.monotonic()
    with pytest.raises(TransientError, match="in time"):
        with_provider(relay_url(relay), lambda provider: provider.check(), timeout=0.5)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("smtp://mail.example.com", "needs from="),
        ("smtp://mail.example.com/?from=", "needs from="),
        ("smtp://mail.example.com/?from=shop", "from= must be"),
        ("smtp://mail.example.com/?from=+79522966236", "from= must be"),
        ("smtp://mail.example.com/?from=shop+codes@example.com", "%2B"),
        ("smtp://mail.example.com/?from=a@example.com,b@example.com", "from= must be"),
        ("smtp://mail.example.com/?from=Shop%0ABcc:%20<a@example.com>", "from= must be"),
        ("smtp://mail.example.com/?from=Shop<a@example.com>&from=b@example.com", "once each"),
        (
            "smtp://mail.example.com/?from=a@example.com&tsl=off",
            "more than a host and from, cafile, tls once each",
        ),
        ("smtp://mail.example.com/?from=a@example.com&tls=no", "tls=off"),
        ("smtps://mail.example.com/?from=a@example.com&tls=off", "none by tls=off"),
        ("smtp://localhost/?from=a@example.com&tls=off&cafile=/x", "none by tls=off"),
        ("smtp://shop:hunter2@mail.example.com/?from=a@example.com&tls=off", "to the network"),
        ("smtp://shop@mail.example.com/?from=a@example.com", "without a password"),
        ("smtp://:hunter2@mail.example.com/?from=a@example.com", "without a user"),
        ("smtp://mail.example.com:submission/?from=a@example.com", "port"),
        ("smtp://mail.example.com:70000/?from=a@example.com", "port"),
        ("smtp://shop:hunter2#1@mail.example.com/?from=a@example.com", "%23"),
        ("smtp://shop:hunter2/1@mail.example.com/?from=a@example.com", "%2F"),
        ("smtp://shop:hunter2:1@mail.example.com:x/?from=a@example.com", "%3A"),
        ("smtp://shop:1?hunter2=1@mail.example.com/?from=a@example.com", "%3F"),
        ("smtp://mail.example.com/inbox?from=a@example.com", "%2F"),
        ("smtp://mail.example.com/?from=a@example.com&cafile=/nowhere.pem", "/nowhere.pem can't be read"),
        (f"smtp://mail.example.com/?from=a@example.com&cafile={__file__}", "can't be read as certificates"),
        ("smtp:///?from=a@example.com", "has no host name"),
    ],
)
def test_a_wrong_url_is_refused_with_what_is_wrong_and_an_example(url: str, why: str) -> None:
    with pytest.raises(WrongProviderUrl) as refused:
        make_provider(url, Channel.EMAIL, OPTIONS)
    assert why in str(refused.value)
    assert "an example: smtp://user:password@smtp.example.com:587/?from=login@example.com" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP, Channel.VIBER])
def test_letters_are_for_email_only(channel: Channel) -> None:
    with pytest.raises(WrongProviderUrl, match="can't send by"):
        make_provider(f"smtp://mail.example.com/?from={SENDER}", channel, OPTIONS)


def test_the_default_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    async def connect(connection: aiosmtplib.SMTP) -> None:
        asked.append(connection.port or 0)
        raise ConnectionRefusedError

    monkeypatch.setattr(aiosmtplib.SMTP, "connect", connect)
    refusal(f"smtp://mail.example.com?from={SENDER}")
    refusal(f"smtps://mail.example.com?from={SENDER}")
    assert asked == [587, 465]
