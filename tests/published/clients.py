"""What each example's client puts on the wire, and the two that are here to do so themselves: curl and node.

The headers are those seen on a socket of node 20 and Go 1.19; Guzzle's and reqwest's are taken from their sources
and documentation, not seen. Nothing is added that the client would not send.
"""

import http.client
import json
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

_ENDS_WITHIN = 30
_AS_JSON = (
    'console.log = (said) => process.stdout.write(typeof said === "string" ? said : JSON.stringify(said));\n'
)


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


@dataclass
class Request:
    """A request as its client's text says it."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def on_the_wire(self) -> bytes:
        parts = urlsplit(self.url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body is not None:
            lines.append(f"Content-Length: {len(self.body.encode())}")
        return ("\r\n".join(lines) + "\r\n\r\n" + (self.body or "")).encode()

    def send(self) -> Answer:
        """Over a bare socket, so that no client of ours adds anything."""
        parts = urlsplit(self.url)
        with socket.create_connection(
            (parts.hostname or "", parts.port or 80), timeout=_ENDS_WITHIN
        ) as connection:
            connection.sendall(self.on_the_wire())
            answer = http.client.HTTPResponse(connection, method=self.method)
            answer.begin()
            return Answer(answer.status, json.loads(answer.read()))


def request_of(language: str, text: str) -> Request:
    """The request that an example in this language makes."""
    return {"ts": _fetch, "js": _fetch, "php": _guzzle, "go": _go, "rs": _reqwest}[language](text)


def _fetch(text: str) -> Request:
    method = _one(r"method: ['\"](\w+)['\"]", text)
    url = _one(r"fetch\(\s*['\"]([^'\"]+)['\"]", text)
    headers = dict(re.findall(r"headers\.append\(['\"]([^'\"]+)['\"], ['\"]([^'\"]+)['\"]\)", text, re.IGNORECASE))
    request = Request(method, url, headers)
    if "JSON.stringify" in text:
        given = json.loads(_one(r"JSON\.stringify\((\{.*?\})\)", text))
        request.body = json.dumps(given, separators=(",", ":"), ensure_ascii=False)
        headers["content-type"] = "text/plain;charset=UTF-8"  # what the Fetch standard gives a string
    if "Accept" not in headers:
        headers["accept"] = "*/*"
    headers |= {"accept-language": "*", "sec-fetch-mode": "cors", "user-agent": "node"}
    headers["accept-encoding"] = "gzip, deflate"
    return request


def _guzzle(text: str) -> Request:
    """A string body gets no Content-Type: Guzzle keeps libcurl from adding one."""
    method = _one(r"new Request\('(\w+)'", text)
    url = _one(r"new Request\('\w+', '([^']+)'", text)
    headers = {"User-Agent": "GuzzleHttp/7", "x-api-key": _one(r"'x-api-key' => '([^']+)'", text)}
    return Request(method, url, headers, _one(r"\$body = '(.*?)';", text) if "$headers, $body" in text else None)


def _go(text: str) -> Request:
    """A `strings.Reader` gets a Content-Length and no Content-Type."""
    method = _one(r'http\.NewRequest\("(\w+)"', text)
    url = _one(r'http\.NewRequest\("\w+", "([^"]+)"', text)
    headers = {"User-Agent": "Go-http-client/1.1", "X-Api-Key": _one(r'Add\("x-api-key", "([^"]+)"\)', text)}
    headers["Accept-Encoding"] = "gzip"
    return Request(
        method, url, headers, _one(r"strings\.NewReader\(`(.*?)`\)", text) if "payload)" in text else None
    )


def _reqwest(text: str) -> Request:
    """`.json(…)` writes a `serde_json::Value` anew, its fields sorted; no body, and there is no length either."""
    method = _one(r"reqwest::Method::(\w+)", text)
    url = _one(r'reqwest::Method::\w+, "([^"]+)"', text)
    headers = {"x-api-key": _one(r'"x-api-key", [\w:]*\(?"([^"]+)"', text), "accept": "*/*"}
    request = Request(method, url, headers)
    if ".json(&json)" in text:
        given = json.loads(_one(r'r#"(.*?)"#', text))
        request.body = json.dumps(given, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        headers["content-type"] = "application/json"
    elif ".body(data)" in text:
        request.body = _one(r'r#"(.*?)"#', text)
    return request


def _one(pattern: str, text: str) -> str:
    [found] = re.findall(pattern, text, re.DOTALL)
    return str(found)


def run_curl(text: str) -> Answer:
    """The text as a shell reads it, with nothing changed; only asked to tell the status besides."""
    need("curl")
    command = f"{text} --silent --show-error --max-time {_ENDS_WITHIN} --write-out '\\n%{{http_code}}'"
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    body, _, status = ended.stdout.rpartition("\n")
    return Answer(int(status), json.loads(body))


def run_node(text: str) -> subprocess.CompletedProcess[str]:
    """The text as JavaScript, its one TypeScript annotation taken off as a compiler does."""
    need("node")
    script = _AS_JSON + text.replace(": RequestInit", "")
    return subprocess.run(
        ["node", "-"], input=script, capture_output=True, text=True, check=False, timeout=_ENDS_WITHIN
    )


def need(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is missing, so published examples were NOT RUN: apt-get install {program}")
