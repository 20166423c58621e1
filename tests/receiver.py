"""A real HTTP server of a site's: takes callbacks on loopback, and answers as a test says."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


Body = Callable[[Received], Any]


class Receiver:
    """A context manager; `answers` are the statuses of the next answers, 200 once they are used up, `body` makes
    their JSON.
    """

    def __init__(
        self,
        answers: list[int] | None = None,
        location: str = "",
        delay: float = 0.0,
        body: Body | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.received: list[Received] = []
        self._answers = answers or []
        receiver, told = self, body

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                time.sleep(delay)
                self.send_response(receiver._answers.pop(0) if receiver._answers else 200)
                if location:
                    self.send_header("location", location)
                answer = json.dumps(told(receiver.received[-1])).encode() if told else b""
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
