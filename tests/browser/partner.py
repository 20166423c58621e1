"""A partner's site on origins of its own: a page that calls Kodgate by plain fetch, and a server that verifies."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

_PAGE = Path(__file__).with_name("partner.html")


class Partner:
    """A context manager; answers under every name that leads to loopback, as `*.localhost` does in Chromium."""

    def __init__(self, kodgate: str, secret_key: str) -> None:
        page = _PAGE.read_text("utf-8").replace("{{ kodgate }}", kodgate).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(page, "text/html; charset=utf-8")

            def do_POST(self) -> None:
                """`/login`: only Kodgate's answer to the secret key says who this is; the page is not believed."""
                token = self.rfile.read(int(self.headers["content-length"])).decode()
                verified = httpx.post(
                    f"{kodgate}/session/verify", json={"verify_token": token}, headers={"x-api-key": secret_key}
                )
                phone = verified.json().get("phone", "nobody")
                self.answer(str(phone).encode(), "text/plain")

            def answer(self, body: bytes, content_type: str) -> None:
                self.send_response(200)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._port = self._server.server_port

    def origin(self, name: str) -> str:
        return f"http://{name}:{self._port}"

    def __enter__(self) -> "Partner":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
