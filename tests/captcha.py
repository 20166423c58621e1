"""Stand-ins of the CAPTCHA providers: real HTTP, taking exactly the published forms, each token once.

A good token begins with `good`. `mood` makes them misbehave: a function of the request's handler.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

SCRIPT = """
  let count = 0;
  globalThis.OBJECT = {
    render(box, options) {
      if (options.sitekey !== "site-key") throw new Error("an unknown site key");
      const label = document.createElement("label");
      const tick = Object.assign(document.createElement("input"), { type: "checkbox", id: "tick" });
      tick.addEventListener("change", () => options.callback(`good-${performance.timeOrigin}-${Math.random()}`));
      label.append(tick, "I am not a robot");
      box.replaceChildren(label);
      return ++count;
    },
    reset() {},
  };
  globalThis[new URL(document.currentScript.src).searchParams.get("onload")]();
"""
OBJECTS = {"turnstile": "turnstile", "smartcaptcha": "smartCaptcha", "recaptcha": "grecaptcha"}
FIELDS = {"turnstile": "response", "smartcaptcha": "token", "recaptcha": "response"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Captcha"

    def do_GET(self) -> None:
        provider = self.path.split("/")[1]
        script = SCRIPT.replace("OBJECT", OBJECTS[provider]).encode()
        self.says(script, 200, "text/javascript")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
        self.server.asked.append((self.path, form))
        if self.server.mood:
            self.server.mood(self)
            return
        provider = self.path.split("/")[1]
        assert self.headers["content-type"] == "application/x-www-form-urlencoded"
        assert set(form) == {"secret", FIELDS[provider]}
        status, answer = self.server.judge(provider, form["secret"], form[FIELDS[provider]])
        self.says(json.dumps(answer).encode(), status)

    def says(self, body: bytes, status: int = 200, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Captcha(ThreadingHTTPServer):
    """All three, at `/<provider>/verify` and `/<provider>/script`; a context manager."""

    daemon_threads = True
    secret = "captcha-secret"
    providers = tuple(OBJECTS)

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.mood: Callable[[Handler], None] | None = None
        self._spent: set[str] = set()
        self._lock = threading.Lock()

    @property
    def settings(self) -> dict[str, str]:
        """The environment that makes Kodgate ask here."""
        onload = {"turnstile": "explicit", "smartcaptcha": "onload", "recaptcha": "explicit"}
        scripts = {
            f"{name.upper()}_SCRIPT_URL": f"{self.url}/{name}/script?render={render}&onload=kodgateChallenge"
            for name, render in onload.items()
        }
        return {f"{name.upper()}_URL": f"{self.url}/{name}/verify" for name in onload} | scripts

    def judge(self, provider: str, secret: str, token: str) -> tuple[int, dict[str, Any]]:
        """The provider's answer, as it publishes it."""
        with self._lock:
            fresh = token not in self._spent
            self._spent.add(token)
        good = token.startswith("good") and fresh
        if provider == "smartcaptcha":
            if secret != self.secret:
                return 403, {"status": "failed", "message": "Authentication failed. Invalid secret."}
            if good:
                return 200, {"status": "ok", "message": "", "host": "localhost"}
            return 200, {"status": "failed", "message": "Invalid or expired Token."}
        if secret != self.secret:
            return 200, {"success": False, "error-codes": ["invalid-input-secret"]}
        if good:
            return 200, {"success": True, "challenge_ts": "2026-01-01T00:00:00Z", "hostname": "localhost"}
        code = "invalid-input-response" if fresh else "timeout-or-duplicate"
        return 200, {"success": False, "error-codes": [code]}

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left early is what some tests are about."""


def slow(seconds: float) -> Callable[[Handler], None]:
    """Says yes, but late."""

    def mood(handler: Handler) -> None:
        time.sleep(seconds)
        handler.says(b'{"success": true, "status": "ok"}')

    return mood


def says(body: bytes, status: int = 200) -> Callable[[Handler], None]:
    """Always this."""
    return lambda handler: handler.says(body, status)


def drips(handler: Handler) -> None:
    """A byte now and then, for longer than anybody waits."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
    for _ in range(100):
        time.sleep(0.1)
        handler.wfile.write(b" ")
        handler.wfile.flush()
