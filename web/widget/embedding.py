"""Who may show the widget, and where it may send the visitor afterwards: the project's own sites, nobody else."""

import re
from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import urlencode, urlsplit

from flask import g

from gateway import errors
from gateway.i18n import N_, wished_language
from gateway.projects import Flow, Project
from web.cors import is_listed
from web.widget.state import WidgetState, enter, this_widget
from web.widget.theme import read_theme

LONGEST_STATE = 500  # characters of a partner's own value, which travels in every address
LONGEST_RETURN = 1000
LONGEST_ZONE = 64  # no time zone's name is half as long
_LOOPBACK = re.compile(r"https?://(localhost|([a-z0-9-]+\.)+localhost|127\.0\.0\.1)(:\d{1,5})?")
_LOOPBACK_ANCESTORS = tuple(
    f"{scheme}://{host}:*" for scheme in ("http", "https") for host in ("localhost", "*.localhost", "127.0.0.1")
)


def first_state(args: Mapping[str, str]) -> tuple[WidgetState, Project]:
    """The state that a partner's address asks for. Raises `AccessDenied`, `ForeignOrigin`, `BadRequest`.

    `key`, and as they like `return_to`, `state`, `origin`, `flow`, `lang`, `tz`, and those of `read_theme`.
    """
    project, _ = this_widget().gateway.authenticate(args.get("key"))
    origin, return_to, flow = args.get("origin", ""), args.get("return_to", ""), args.get("flow", "")
    state = WidgetState(project.id, return_to, args.get("state", "")[:LONGEST_STATE], lang=g.lang)
    enter(state, project)
    if origin and not is_ours(project, origin):
        raise errors.ForeignOrigin
    if return_to and not _may_return_to(project, return_to):
        raise errors.BadRequest("return_to", N_("is not an address of this project's site"))
    if flow and flow not in get_args(Flow):
        raise errors.BadRequest("flow", N_("must be sending-first or channel-first"))
    state = WidgetState(
        project.id,
        return_to,
        state.partner_state,
        origin=origin,
        lang=wished_language(args.get("lang")) or "",
        flow=flow or project.settings.flow,
        theme=read_theme(args),
        time_zone=args.get("tz", "")[:LONGEST_ZONE],
    )
    enter(state, project)
    return state, project


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
    """The partner's address with the token and its own state in it; empty where it gave none."""
    if not state.return_to:
        return ""
    query = {"verify_token": verify_token}
    if state.partner_state:
        query["state"] = state.partner_state
    return state.return_to + ("&" if "?" in state.return_to else "?") + urlencode(query)


def allow_form_target(state: WidgetState) -> None:
    """A browser follows the last form's redirect only to origins that the page's policy names."""
    origin = _origin(state.return_to)
    g.form_origins = [origin] if origin else []


def _may_return_to(project: Project, return_to: str) -> bool:
    """Only to our own pages or the project's origins: anything else would be an open redirect."""
    if len(return_to) > LONGEST_RETURN or any(one in "\\" or one <= " " for one in return_to):
        return False
    try:
        parts = urlsplit(return_to)
        origin = _origin(return_to)
    except ValueError:
        return False
    if parts.fragment or parts.username is not None:
        return False
    if not parts.scheme and not parts.netloc:
        return return_to.startswith("/") and not return_to.startswith("//")
    return parts.scheme in ("http", "https") and is_ours(project, origin)


def _origin(address: str) -> str:
    parts: Any = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
