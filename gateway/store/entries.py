"""What stands in the audit log, and how it is asked for."""

from typing import Literal

import msgspec

Actor = Literal["public key", "secret key", "widget", "telegram", "provider", "operator", "system", "unknown"]
"""Who did it: a holder of the project's key, a visitor on our own pages, a person in Telegram or the Bot API,
whoever posts reports, the operator's command, Kodgate by itself, or somebody without a good key."""

LASTING = ("operator", "system")  # their rows are few, no visitor can make one, and they are kept apart


class Entry(msgspec.Struct, frozen=True):
    """One thing that was done or, with a `reason`, refused; `times` of refusals that were alike.

    `destination` is a contact's keyed hash. Nothing in it is a phone, an email, a code, a key or a token.
    """

    at: int
    actor: str
    action: str
    project_id: int | None = None
    session_id: str = ""
    destination: bytes | None = None
    reason: str = ""
    detail: str = ""
    times: int = 1


class By(msgspec.Struct, frozen=True):
    """Who changes a project, and when."""

    actor: Actor
    now: int


class Wanted(msgspec.Struct, frozen=True):
    """Which entries are asked for: the newest `limit` of those that all of this is true of.

    `action` is a whole one (`session.check`) or what stands before its dot (`session`). With `destinations`,
    entries of their sessions count as theirs, which name the session alone.
    """

    project_id: int | None = None
    session_id: str | None = None
    action: str | None = None
    destinations: tuple[bytes, ...] | None = None
    since: int | None = None
    until: int | None = None
    refused: bool = False
    limit: int = 100
