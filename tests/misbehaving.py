"""An upstream that misbehaves, as a test orders: real HTTP on loopback, each answer made by hand."""

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SESSION_ID = "01K8N1VMPN0EE389K72YW0CBM2"
TELEGRAM = {
    "name": "Telegram",
    "type": "telegram",
    "is_active": False,
    "timeout": 60,
    "image_url": "https://storage.kod.mobi/icons/telegram.svg",
    "link": "https://t.me/my-tg-bot",
}
SMS = {**TELEGRAM, "name": "SMS", "type": "sms", "timeout": 0}

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's `behave` says."""

    protocol_version = "HTTP/1.1"
    server: "Misbehaving"

    def do_GET(self) -> None:
        self.sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        is_form = "form" in self.headers.get("content-type", "")  # as aiogram's are
        body = json.loads(self.sent) if self.sent and not is_form else None
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        self.server.behave(self)

    def do_POST(self) -> None:
        self.do_GET()

    def answer(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Misbehaving(ThreadingHTTPServer):
    """A context manager; `behave` may be changed at any time, `seen` is what came."""

    daemon_threads = True

    def __init__(self, behave: Answer, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.behave = behave
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left early is what some tests are about."""


def says(body: Any, status: int = 200) -> Answer:
    """JSON."""
    return lambda handler: handler.answer(status, json.dumps(body).encode())


def refuses(status: int, sys_message: str, text: str = "no", **params: Any) -> Answer:
    """The contract's error form."""
    body = {"success": False, "status": status, "error": text, "sys_message": sys_message, "error_params": params}
    return says(body, status)


def html(status: int = 200) -> Answer:
    page = b"<!doctype html><title>Just a moment</title>"
    return lambda handler: handler.answer(status, page, "text/html")


def drops(handler: Handler) -> None:
    """The connection breaks off in the middle of an answer."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"')
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def drips(handler: Handler) -> None:
    """A byte now and then, for longer than anybody waits."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n[")
    for _ in range(50):
        time.sleep(0.1)
        handler.wfile.write(b" ")
        handler.wfile.flush()


def hangs(seconds: float) -> Answer:
    def behave(handler: Handler) -> None:
        time.sleep(seconds)
        says([])(handler)

    return behave


def floods(handler: Handler) -> None:
    handler.answer(200, b'["' + b"x" * 2_000_000 + b'"]')


def redirects(to: str) -> Answer:
    return lambda handler: handler.answer(302, b"", location=to)


def in_turn(*answers: Answer) -> Answer:
    """One after the other; the last stays."""
    left = list(answers)

    def behave(handler: Handler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return behave
