"""Mail servers on loopback: aiosmtpd, with a look at each letter, and one that answers as a test says."""

import asyncio
import datetime
import email
import ipaddress
import socketserver
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER = "login@shop.example.com"
PASSWORD = "pa/ss:w#rd?%"
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "List-Id", "Auto-Submitted")


def make_certificate(folder: Path, name: str = "localhost") -> Path:
    """A self-signed one for 127.0.0.1 and `name`, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return file


class Mailbox:
    """What a server was told, and what it answers: `answers` holds the next ones of each command.

    An answer is a line, a number of seconds to say nothing, or None to close the connection.
    """

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.contents: list[bytes] = []
        self.envelopes: list[tuple[str | None, list[str]]] = []
        self.connections: set[object] = set()
        self.commands: list[str] = []
        self.greeted_as = ""
        self.malformed: list[str] = []
        self.answers: dict[str, list[str | float | None]] = {}

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections.add(session.peer)
        self.greeted_as = session.host_name = hostname
        return responses

    async def handle_MAIL(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self._answer("MAIL", server)

    async def handle_RCPT(
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return await self._answer("RCPT", server)

    async def handle_RSET(self, server: SMTP, *_: object) -> str:
        return await self._answer("RSET", server)

    async def handle_NOOP(self, server: SMTP, *_: object) -> str:
        return await self._answer("NOOP", server)

    async def handle_QUIT(self, server: SMTP, *_: object) -> str:
        await self._answer("QUIT", server)
        return "221 Bye"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        if wrong := malformed(content):
            self.malformed.append(wrong)
            return f"554 5.6.0 {wrong}"
        answer = await self._answer("DATA", server)
        if answer.startswith("250"):
            self.contents.append(content)
            self.letters.append(email.message_from_bytes(content, policy=default))
            self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return answer

    async def _answer(self, command: str, server: SMTP) -> str:
        self.commands.append(command)
        answers = self.answers.get(command)
        answer = answers.pop(0) if answers else "250 2.0.0 OK"
        if isinstance(answer, str):
            return answer
        if answer is not None:
            await asyncio.sleep(answer)
        elif isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()
        return "451 4.3.0 too late"


def malformed(content: bytes) -> str:
    """What is wrong with a letter by RFC 5322 and RFC 2045; empty where nothing is."""
    lines = content.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line for line in lines):
        return "a line break that is not CRLF"
    if any(len(line) > 998 for line in lines):
        return "a line that is too long"
    if not content.isascii():
        return "8-bit content"
    letter = email.message_from_bytes(content, policy=default)
    if wrong := [name for name in ONCE if len(letter.get_all(name, [])) != 1]:
        return f"not once: {wrong}"
    parts = list(letter.walk())
    if defects := [defect for part in parts for defect in part.defects]:
        return f"defects: {defects}"
    if wrong := [name for name, value in letter.items() if getattr(value, "defects", ())]:
        return f"headers with defects: {wrong}"
    return ""


class MailServer(Controller):
    """A context manager: one mail server; `box` says what it got and decides what it answers."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, starttls: bool = True, **options: Any) -> None:
        self.box = Mailbox()
        self.logged_in: list[tuple[str, str]] = []
        if tls:
            options |= {"auth_required": True, "authenticator": self._authenticate, "auth_require_tls": starttls}
        if tls and starttls:
            options |= {"tls_context": tls, "require_starttls": True}
        super().__init__(
            self.box,
            hostname="127.0.0.1",
            port=0,
            server_hostname="mail.example.com",
            ssl_context=None if starttls else tls,
            **options,
        )

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logged_in.append((mechanism, data.login.decode()))
        known = (data.login.decode(), data.password.decode()) == (USER, PASSWORD)
        return AuthResult(success=known, handled=False)

    def _trigger_server(self) -> None:
        """Called once the socket is bound, whose port nobody chose."""
        assert self.server is not None
        self.port = self.server_port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        super()._trigger_server()  # type: ignore[no-untyped-call]

    def __enter__(self) -> "MailServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Scripted(socketserver.ThreadingTCPServer):
    """A context manager: says `greeting`, then to each line what `behave` answers; None closes the connection."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, greeting: bytes, behave: Callable[[bytes], bytes | None] = lambda _line: None) -> None:
        super().__init__(("127.0.0.1", 0), _Script)
        self.greeting = greeting
        self.behave = behave
        self.heard: list[bytes] = []
        self.ended = threading.Event()
        self.server_port: int = self.server_address[1]

    def __enter__(self) -> "Scripted":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left early is what some tests are about."""


class _Script(socketserver.StreamRequestHandler):
    server: Scripted

    def handle(self) -> None:
        self.wfile.write(self.server.greeting)
        for line in self.rfile:
            self.server.heard.append(line)
            answer = self.server.behave(line)
            if answer is None:
                return
            self.wfile.write(answer)
