"""A partner's site that embeds the widget, with a session of its own, under every name that leads to loopback."""

import secrets
import threading
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A shop</title>
<link rel="icon" href="data:,">
<main>
<h1>{heading}</h1>
{body}
</main>
</html>"""


class Shop:
    """A context manager. `pages` maps a path to the HTML of its body, in which `{state}` is this visitor's own.

    `/done` takes `?verify_token=&state=`: it believes only Kodgate's answer to the secret key, and only where the
    state is the visitor's own. `/` then greets by the contact.
    """

    def __init__(self, kodgate: str, secret_key: str) -> None:
        self.pages: dict[str, str] = {}
        self.policy = ""
        shop = self
        sessions: dict[str, dict[str, str]] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.cookie = ""
                session = self.session()
                parts = urlsplit(self.path)
                if parts.path == "/done":
                    self.log_in(session, {name: some[0] for name, some in parse_qs(parts.query).items()})
                elif parts.path in shop.pages:
                    body = shop.pages[parts.path].replace("{state}", session["state"])
                    self.answer(200, f"Hello, {session.get('to', 'stranger')}", body)
                else:
                    self.answer(404, "Nothing here", "")

            def session(self) -> dict[str, str]:
                known = SimpleCookie(self.headers.get("cookie", "")).get("shop")
                if known and known.value in sessions:
                    return sessions[known.value]
                self.cookie = secrets.token_urlsafe(16)
                sessions[self.cookie] = {"state": secrets.token_urlsafe(16)}
                return sessions[self.cookie]

            def log_in(self, session: dict[str, str], given: dict[str, str]) -> None:
                if not secrets.compare_digest(given.get("state", ""), session["state"]):
                    self.answer(400, "This login was not begun here", "")
                    return
                answer = httpx.post(
                    f"{kodgate}/session/verify",
                    json={"verify_token": given.get("verify_token", "")},
                    headers={"x-api-key": secret_key},
                )
                if answer.status_code != 200:
                    self.answer(400, f"Refused: {answer.json()['sys_message']}", "")
                    return
                session["to"] = answer.json()["to"]
                self.send_response(303)
                self.send_header("location", "/welcome")
                self.end_headers()

            def answer(self, status: int, heading: str, body: str) -> None:
                page = PAGE.format(heading=heading, body=body).encode()
                self.send_response(status)
                self.send_header("content-type", "text/html; charset=utf-8")
                self.send_header("content-length", str(len(page)))
                if shop.policy:
                    self.send_header("content-security-policy", shop.policy)
                if self.cookie:
                    self.send_header("set-cookie", f"shop={self.cookie}; HttpOnly; SameSite=Lax; Path=/")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._port = self._server.server_port

    def origin(self, name: str = "partner.localhost") -> str:
        return f"http://{name}:{self._port}"

    def __enter__(self) -> "Shop":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
