"""`smtp://user:password@host:587/?from=…` and `smtps://user:password@host:465/?from=…`: email, by SMTP (RFC 5321).

`smtp` demands STARTTLS (RFC 3207), `smtps` is TLS from the first byte (RFC 8314); the certificate is verified
against the system's authorities. User and password are percent-encoded; without them there is no AUTH (RFC 4954).
The query:

- `from`, needed: the sender, `login@shop.example.com` or `Shop <login@shop.example.com>`; a plus is `%2B`;
- `cafile`: a file of certificates that are trusted instead of the system's;
- `tls=off`: no TLS, for a relay on this machine.

A letter is a text and an HTML part (RFC 2046, alternative), marked as written by a program (RFC 3834) and with a
List-Id (RFC 2919) for filters. Its Message-ID stays the same when it is tried again, so that a letter whose
acceptance got lost on its way to us can be recognised as the same one.
"""

import asyncio
import hmac
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import compat32
from email.utils import format_datetime, formataddr
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from gateway.contact import parse_contact
from gateway.errors import BadRequest
from gateway.providers import (
    SCHEMES,
    Message,
    Options,
    PermanentError,
    Receipt,
    SendError,
    TransientError,
    WrongProviderUrl,
)
from gateway.render import render_email

_PORTS = {"smtp": 587, "smtps": 465}
_PARAMETERS = ("from", "cafile", "tls")
_SENDER = re.compile(r'"?(?P<name>[^<>"]*?)"?\s*<(?P<address>[^<>]+)>')

_CONNECTIONS = 10  # at most: mail servers refuse a client that opens many
_IDLE_SECONDS = 30.0  # servers wait some minutes, firewalls less
_GOODBYE_SECONDS = 2.0

_CLOSING = 421  # RFC 5321, 3.8: the answer to any command when the server ends the connection
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?!\S)")  # RFC 2034
_TROUBLE = (aiosmtplib.SMTPException, OSError, ValueError)  # the last: what a server sent can't be decoded

# Quoted-printable passes every server, and keeps a Latin text readable for filters that distrust base64.
_UTF_8 = Charset("utf-8")
_UTF_8.body_encoding = QP
_WIRE = compat32.clone(linesep="\r\n", mangle_from_=False, max_line_length=998)


@dataclass(frozen=True)
class _Server:
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext | None
    starttls: bool


@dataclass(frozen=True)
class _Sender:
    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.partition("@")[2]

    @property
    def header(self) -> str:
        if self.name.isascii():
            return formataddr((self.name, self.address))
        header = Header(self.name, "utf-8", header_name="From")
        header.append(f"<{self.address}>", "us-ascii")
        return header.encode()


class _Connection(aiosmtplib.SMTP):
    def close(self) -> None:
        """At once, for TLS's own goodbye waits half a minute for a server that says no more."""
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        super().close()


class SmtpProvider:
    """See `gateway.providers.Provider`."""

    def __init__(self, server: _Server, sender: _Sender, options: Options) -> None:
        self._server = server
        self._sender = sender
        self._timeout = options.timeout
        self._signing_key = options.signing_key or secrets.token_bytes(32)
        self._room = asyncio.Semaphore(min(options.concurrency, _CONNECTIONS))
        self._kept: dict[_Connection, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def send(self, message: Message) -> Receipt:
        to = _recipient(message.to)
        message_id = self._message_id(message)
        letter = self._letter(message, to, message_id)
        async with self._answering(), self._room:
            connection = await self._begin_letter()
            sane = False
            try:
                await connection.rcpt(to)
                await connection.data(letter)
                sane = True
            except aiosmtplib.SMTPResponseException as refusal:
                sane = _is_final(refusal)
                raise
            finally:
                if sane and connection.is_connected:
                    self._keep(connection)
                else:
                    connection.close()
        return Receipt(message_id)

    async def check(self) -> str:
        """Connect and log in as for a letter, and send none."""
        async with self._answering():
            connection = await self._connect()
            with _closed_on_failure(connection):
                await connection.noop()
                tls = connection.get_transport_info("ssl_object")
            await _leave(connection)
        return ", ".join(
            [
                self._server.host,
                tls.version() if tls else "no TLS",
                f"as {self._server.user}" if self._server.user else "without a user",
            ]
        )

    async def close(self) -> None:
        for connection in list(self._kept):
            self._retire(connection)
        await asyncio.gather(*self._leaving)

    def _message_id(self, message: Message) -> str:
        """The same at each attempt, another for each letter, also when a new database counts from 1 again."""
        what = f"{message.host} {message.id} {message.to} {message.code}"
        mark = hmac.digest(self._signing_key, what.encode(), "sha256")[:16].hex()
        return f"<{mark}@{self._sender.domain}>"

    def _letter(self, message: Message, to: str, message_id: str) -> bytes:
        rendered = render_email(
            message.lang,
            code=message.code,
            project=message.project,
            minutes=message.minutes,
            host=message.host,
            project_id=message.project_id,
        )
        # The older of Python's two mail APIs: the newer one loses spaces where it folds a long subject, and
        # encodes a List-Id that is longer than a line.
        letter = MIMEMultipart("alternative")
        letter["From"] = self._sender.header
        letter["To"] = to
        letter["Subject"] = Header(rendered.subject, header_name="Subject").encode()
        letter["Date"] = format_datetime(datetime.now(UTC))
        letter["Message-ID"] = message_id
        letter["List-Id"] = f"<login.{message.host}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter["X-Auto-Response-Suppress"] = "All"  # Exchange's own word for the same wish
        for kind, text in (("plain", message.text), ("html", rendered.html)):
            part = MIMENonMultipart("text", kind, charset="utf-8")
            part.set_payload(text, _UTF_8)
            letter.attach(part)
        return letter.as_bytes(policy=_WIRE)

    async def _begin_letter(self) -> _Connection:
        """A connection whose server took MAIL FROM.

        A kept one may be dead without our knowing, or at the end of what its server grants to one connection. That
        shows here, before anything of the letter is accepted, so a new one can start over without sending twice.
        """
        if kept := self._take_kept():
            try:
                with _closed_on_failure(kept):
                    await kept.rset(timeout=self._timeout / 3)
                    await kept.mail(self._sender.address)
            except aiosmtplib.SMTPSenderRefused as refusal:
                if refusal.code != _CLOSING:
                    raise
            except _TROUBLE:
                pass
            else:
                return kept
        fresh = await self._connect()
        with _closed_on_failure(fresh):
            await fresh.mail(self._sender.address)
        return fresh

    async def _connect(self) -> _Connection:
        server = self._server
        connection = _Connection(
            hostname=server.host,
            port=server.port,
            local_hostname=self._sender.domain,  # asking the system for this machine's name may take seconds
            timeout=self._timeout,
            use_tls=server.tls is not None and not server.starttls,
            start_tls=False,
            tls_context=server.tls,
        )
        with _closed_on_failure(connection):
            await connection.connect()
            await connection.ehlo()
            if server.starttls:
                if not connection.supports_extension("starttls"):
                    raise TransientError(
                        "the mail server offers no STARTTLS: use smtps://, or tls=off if it is on this machine"
                    )
                await connection.starttls()
                await connection.ehlo()
            if server.user:
                if not connection.supported_auth_methods:
                    raise TransientError("the mail server offers no AUTH by PLAIN, LOGIN or CRAM-MD5")
                await connection.login(server.user, server.password)
        return connection

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Within the time that a call may take, and with every trouble told as `SendError`."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError:
            raise TransientError("the mail server did not answer in time") from None
        except _TROUBLE as problem:
            raise _as_send_error(problem) from None

    def _keep(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        self._kept[connection] = loop.call_later(_IDLE_SECONDS, self._retire, connection)

    def _take_kept(self) -> _Connection | None:
        """The one used last, so that those beyond what is needed come to rest and are closed."""
        while self._kept:
            connection, timer = self._kept.popitem()
            timer.cancel()
            if connection.is_connected:
                return connection
        return None

    def _retire(self, connection: _Connection) -> None:
        self._kept.pop(connection).cancel()
        task = asyncio.get_running_loop().create_task(_leave(connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def open_provider(url: str, options: Options) -> SmtpProvider:
    """See `gateway.providers`."""
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True)
    odd = any(name not in _PARAMETERS or len(values) > 1 for name, values in query.items())
    if odd or parts.fragment or parts.path not in ("", "/"):  # not told which: it may be a part of the password
        raise _wrong(
            f"has more than a host and {', '.join(_PARAMETERS)} once each; "
            "in a user or password, write # as %23, / as %2F and ? as %3F"
        )
    given = {name: values[0] for name, values in query.items()}
    return SmtpProvider(
        _server(url, given.get("tls"), given.get("cafile")), _sender(given.get("from", "")), options
    )


def _server(url: str, tls: str | None, cafile: str | None) -> _Server:
    parts = urlsplit(url)
    host, user, password = parts.hostname, unquote(parts.username or ""), unquote(parts.password or "")
    if not host:
        raise _wrong("has no host name")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:  # its text may hold a part of the password
        raise _wrong(
            "has no number as its port; in a user or password, write # as %23, / as %2F and : as %3A"
        ) from None
    if bool(user) != bool(password):
        raise _wrong("has a user without a password, or a password without a user")
    if tls not in (None, "off"):
        raise _wrong("can have tls=off; TLS is on without it")
    if tls == "off":
        if parts.scheme == "smtps" or cafile is not None:
            raise _wrong("asks for TLS by smtps:// or cafile, and for none by tls=off")
        if password and not _is_loopback(host):
            raise _wrong("would show the password to the network: tls=off is for a relay on this machine")
    try:
        context = None if tls == "off" else ssl.create_default_context(cafile=cafile)
    except OSError as problem:  # an ssl.SSLError is one
        raise _wrong(f"cafile={cafile} can't be read as certificates: {type(problem).__name__}") from None
    return _Server(host, port, user, password, context, starttls=context is not None and parts.scheme == "smtp")


def _sender(text: str) -> _Sender:
    if not text.strip():
        raise _wrong("needs from=, the sender's address, which your mail server must be allowed to send for")
    named = _SENDER.fullmatch(text.strip())
    name, address = (named["name"].strip(), named["address"]) if named else ("", text)
    try:
        contact = parse_contact(address, field="from")
    except BadRequest:
        contact = None
    if contact is None or contact.kind != "email" or not name.isprintable():
        raise _wrong("from= must be an address, or Name <address>; a plus in it is written %2B")
    return _Sender(name, contact.value)


def _wrong(reason: str) -> WrongProviderUrl:
    return WrongProviderUrl(f"{reason}; an example: {SCHEMES['smtp'].example}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _recipient(to: str) -> str:
    """Nothing but an address comes into a command or a header."""
    try:
        contact = parse_contact(to)
    except BadRequest:
        raise PermanentError("the recipient is no email address") from None
    if contact.kind != "email":
        raise PermanentError("the recipient is no email address")
    return contact.value


@contextmanager
def _closed_on_failure(connection: _Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


async def _leave(connection: _Connection) -> None:
    with suppress(*_TROUBLE):
        await connection.quit(timeout=_GOODBYE_SECONDS)
    connection.close()


def _is_final(refusal: aiosmtplib.SMTPResponseException) -> bool:
    """Whether the server will never take this letter.

    Only an answer to the recipient or to the letter itself can say so. A wrong password, a sender that the server
    does not let us use or TLS that fails is the operator's to mend: it concerns every letter, none of which is
    wrong, so these stay worth another attempt, while the session lives, here or with another provider.
    """
    of_this_letter = isinstance(refusal, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
    return of_this_letter and 500 <= refusal.code < 600


def _as_send_error(problem: Exception) -> SendError:
    """Never with the server's own words, in which it likes to repeat the address."""
    if isinstance(problem, aiosmtplib.SMTPResponseException):
        if not 200 <= problem.code < 600:
            return TransientError("the mail server answers what is not SMTP")
        enhanced = _ENHANCED.match(problem.message)
        text = (
            f"the mail server refused {_step(problem)}: {problem.code} {enhanced[0] if enhanced else ''}".strip()
        )
        return PermanentError(text) if _is_final(problem) else TransientError(text)
    reason = problem.__cause__ or problem
    if isinstance(reason, ssl.SSLCertVerificationError):
        return TransientError(f"the mail server's certificate is not trusted: {reason.verify_message}")
    if isinstance(problem, aiosmtplib.SMTPConnectError):
        return TransientError(f"the mail server could not be reached: {type(reason).__name__}")
    return TransientError(f"the mail server broke off: {type(reason).__name__}")


def _step(refusal: aiosmtplib.SMTPResponseException) -> str:
    match refusal:
        case aiosmtplib.SMTPAuthenticationError():
            return "the user or password"
        case aiosmtplib.SMTPSenderRefused():
            return "the sender"
        case aiosmtplib.SMTPRecipientRefused():
            return "the recipient"
        case aiosmtplib.SMTPDataError():
            return "the letter"
    return "the connection"
