"""Static files, held in memory with their compressed form: small, few, and never read twice."""

import gzip
import mimetypes
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from wsgiref.types import StartResponse

from web.fields import Environ

STATIC = Path(__file__).resolve().parent.parent / "static"
PREFIX = "/static/"
_NAME = re.compile(r"(?:[\w-]{1,50}/){0,3}[\w-]{1,50}(?:\.[\w-]{1,20})+", re.ASCII)
"""One spelling a file: each that is found is held for good, and there is no end of `./` and `x/../`."""
_REMARKS = re.compile(rb"^ *//.*\n", re.MULTILINE)
"""A script's lines of comment: a tenth of what a visitor would have to load."""
_FOREVER = "public, max-age=31536000, immutable"
_SHORT = "public, max-age=300"


class Asset(NamedTuple):
    """One file as it is served."""

    body: bytes
    zipped: bytes
    content_type: str
    version: str


class Assets:
    """The files below `static/`. In development a changed file is read again."""

    def __init__(self, reload: bool) -> None:
        self._reload = reload
        self._held: dict[str, tuple[float, Asset]] = {}

    def url(self, name: str) -> str:
        """The address of a file; it changes with the content, so browsers may keep it for good."""
        asset = self._find(name)
        return f"{PREFIX}{name}?v={asset.version}" if asset else f"{PREFIX}{name}"

    def text(self, name: str) -> str:
        """A file's text, to be set into a page."""
        asset = self._find(name)
        return asset.body.decode() if asset else ""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        asset = self._find(environ["PATH_INFO"].removeprefix(PREFIX))
        if asset is None:
            start_response("404 Not Found", [("content-type", "text/plain"), ("content-length", "0")])
            return []
        body, headers = asset.body, [("content-type", asset.content_type)]
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = asset.zipped
            headers.append(("content-encoding", "gzip"))
        fresh = environ.get("QUERY_STRING") == f"v={asset.version}"
        headers += [
            ("content-length", str(len(body))),
            ("cache-control", _FOREVER if fresh else _SHORT),
            ("vary", "accept-encoding"),
            ("x-content-type-options", "nosniff"),
            ("access-control-allow-origin", "*"),
        ]
        start_response("200 OK", headers)
        return [body]

    def _find(self, name: str) -> Asset | None:
        held = self._held.get(name)
        if held and not self._reload:
            return held[1]
        if not _NAME.fullmatch(name):
            return None
        path = (STATIC / name).resolve()
        if not path.is_relative_to(STATIC) or not path.is_file():
            return None
        changed = path.stat().st_mtime
        if held and held[0] == changed:
            return held[1]
        asset = _load(path)
        self._held[name] = (changed, asset)
        return asset


def _load(path: Path) -> Asset:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.endswith("javascript"):
        body = _REMARKS.sub(b"", body)
    charset = "; charset=utf-8" if kind.startswith("text/") or kind.endswith("javascript") else ""
    return Asset(body, gzip.compress(body, 9, mtime=0), kind + charset, sha256(body).hexdigest()[:12])
