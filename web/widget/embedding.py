"""Who may show the widget, and where it may send the visitor afterwards: the project's own sites, nobody else."""

import re
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from flask import g
from werkzeug.urls import iri_to_uri

from gateway import errors
from gateway.contact import parse_contact
from gateway.i18n import N_, wished_language
from gateway.projects import Flow, Project
from web.cors import is_listed
from web.widget.state import WidgetState, enter, this_widget
from web.widget.theme import read_theme

LONGEST_STATE = 500  # characters of a partner's own value, which travels in every address
LONGEST_RETURN = 1000  # of an address as it is sent
LONGEST_ZONE = 64  # no time zone's name is half as long
_LOOPBACK = re.compile(r"https?://(localhost|([a-z0-9-]+\.)+localhost|127\.0\.0\.1)(:\d{1,5})?")
_LOOPBACK_ANCESTORS = tuple(
    f"{scheme}://{host}:*" for scheme in ("http", "https") for host in ("localhost", "*.localhost", "127.0.0.1")
)


def first_state(args: Mapping[str, str]) -> tuple[WidgetState, Project]:
    """The state that a partner's address asks for. Raises `UnknownKey`, `ForeignOrigin`, `BadRequest`.

    `key`, and as they like `return_to`, `state`, `origin`, `flow`, `lang`, `tz`, `to`, and those of `read_theme`.
    """
    try:
        project, secret = this_widget().gateway.authenticate(args.get("key"))
    except errors.AccessDenied:
        raise errors.UnknownKey from None
    if secret:
        raise errors.BadRequest("key", N_("is the secret key: it must never be in a page, so make new ones"))
    origin, partner_state, flow = args.get("origin", ""), args.get("state", ""), args.get("flow", "")
    enter(WidgetState(project.id, "", "", lang=g.lang), project)
    if origin and not is_ours(project, origin):
        raise errors.ForeignOrigin
    return_to = _read_return_to(project, args.get("return_to", ""))
    if len(partner_state) > LONGEST_STATE:
        raise errors.BadRequest("state", N_("is too long"))
    if flow and flow not in get_args(Flow):
        raise errors.BadRequest("flow", N_("must be sending-first or channel-first"))
    theme, g.complaints = read_theme(args)
    state = WidgetState(
        project.id,
        return_to,
        partner_state,
        origin=origin,
        lang=wished_language(args.get("lang")) or "",
        flow=flow or project.settings.flow,
        theme=theme,
        time_zone=args.get("tz", "")[:LONGEST_ZONE],
        to=_read_to(args.get("to", "")),
    )
    enter(state, project)
    return state, project


def _read_to(given: str) -> str:
    """The contact to begin with; one that nobody could log in with is left out, for the visitor to type theirs."""
    if not given:
        return ""
    if given.startswith(" ") and given.strip().isdecimal():  # a plus that was written into an address as it is
        given = f"+{given.strip()}"
    try:
        return parse_contact(given).value
    except errors.BadRequest as refusal:
        g.complaints.append(f"to {refusal.why('en')}")
        return ""


def is_ours(project: Project, origin: str) -> bool:
    """Whether pages of `origin` are the project's. In development, so is whatever runs on this machine."""
    if origin == this_widget().public_url or is_listed(origin, project.settings.origins):
        return True
    return not this_widget().production and bool(_LOOPBACK.fullmatch(origin))


def frame_ancestors() -> str:
    """Who may show this page in a frame (CSP 3, 6.4.2.1)."""
    project: Project | None = getattr(g, "project", None)
    listed = project.settings.origins if project else ()
    development = () if this_widget().production or not project else _LOOPBACK_ANCESTORS
    return " ".join(["'self'", *listed, *development])


def way_back(state: WidgetState, verify_token: str) -> str:
    """The partner's address with the token and its own state in it; empty where it gave none.

    What it held of a former login gives way, however it is spelt: of two tokens, most servers read the first, and
    whoever made the address could log the visitor in as somebody else.
    """
    if not state.return_to:
        return ""
    query = {"verify_token": verify_token}
    if state.partner_state:
        query["state"] = state.partner_state
    parts = urlsplit(state.return_to)
    own = [pair for pair in parts.query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in query]
    return urlunsplit(parts._replace(query="&".join([*own, urlencode(query)])))


def form_targets() -> list[str]:
    """Where else a form's redirect may lead (CSP 3, 6.4.1.1).

    The first page's policy must name what the last one needs: pages that the script fetches don't bring their own.
    """
    origin = _origin(getattr(g, "return_to", ""))
    return [origin] if origin else []


def _read_return_to(project: Project, given: str) -> str:
    """The address in ASCII, as headers carry it, or nothing. Raises `BadRequest` for what is not the project's."""
    try:
        address = iri_to_uri(given)
    except ValueError:
        address = ""
    if given and not (_is_plain(given) and _may_return_to(project, address)):
        raise errors.BadRequest("return_to", N_("is not an address of this project's site"))
    return address


def _is_plain(address: str) -> bool:
    """Whether it holds nothing that browsers pass over, or read as a slash, and parsers don't."""
    return not any(one == "\\" or one <= " " for one in address)


def _may_return_to(project: Project, address: str) -> bool:
    """Only to our own pages or the project's origins: anything else would be an open redirect."""
    parts = urlsplit(address)
    if len(address) > LONGEST_RETURN or parts.fragment or parts.username is not None:
        return False
    if not parts.scheme and not parts.netloc:
        return address.startswith("/") and not address.startswith("//")
    return parts.scheme in ("http", "https") and is_ours(project, _origin(address))


def _origin(address: str) -> str:
    parts: Any = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
