"""For developers: the API in OpenAPI, and as a page to read."""

from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, current_app, g, render_template, request

from gateway.channels import Channel
from web import reference
from web.examples import DEFAULT_LANGUAGE, LANGUAGES
from web.openapi import document
from web.widget import this_widget

developers = Blueprint("developers", __name__)


@developers.get("/openapi.json")
def openapi() -> Response:
    """OpenAPI 3.1; any page may read it."""
    body = document(this_widget().public_url, version("kodgate"))
    return Response(body, mimetype="application/json", headers={"access-control-allow-origin": "*"})


@developers.get("/docs", strict_slashes=False)
def docs() -> Any:
    """The API to read, in English; `?code=` names the language of the examples."""
    asked = request.args.get("code", "")
    chosen = asked if asked in LANGUAGES else DEFAULT_LANGUAGE
    address = request.query_string.decode("ascii", "replace")
    if current_app.config.get("TEMPLATES_AUTO_RELOAD") or address not in _ADDRESSES:
        return _page(chosen)
    if (address, g.lang) not in _pages:
        _pages[address, g.lang] = _page(chosen)
    return _pages[address, g.lang]


_ADDRESSES = {"", *(f"code={name}" for name in LANGUAGES)}  # those that the page itself links to
_pages: dict[tuple[str, str], str] = {}  # kept, because making one takes as long as fifty logins


def _page(chosen: str) -> str:
    public_url = this_widget().public_url
    return render_template(
        "docs/docs.html",
        public_url=public_url,
        chosen=chosen,
        code_languages=LANGUAGES,
        chapters=reference.chapters(public_url, chosen),
        meanings=reference.meanings(),
        foreign_refusals=reference.foreign_refusals(),
        channels=list(Channel),
        callback=reference.callback(),
        decode=reference.snippet("decode", chosen),
        signature=reference.snippet("signature", chosen),
        marked=reference.marked,
        breakable=reference.breakable,
    )
