"""What the store itself says once all is over: is it whole, and is every state in it true?"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from typing import Any

from tests.faults.logins import Anew, Login
from tests.faults.provider import Sender
from tests.faults.table import Played

Ask = Callable[[str], list[tuple[Any, ...]]]

_DONE = "SELECT session_id, count(*) FROM audit WHERE action = 'session.{}' AND reason = '' GROUP BY session_id"


def asker(url: str) -> Ask:
    """Puts a question to the database."""
    if url.startswith("sqlite"):
        return lambda sql: _ask_sqlite(url.removeprefix("sqlite:///"), sql)
    psycopg = import_module("psycopg")

    def ask(sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(url, autocommit=True) as db:
            rows: list[tuple[Any, ...]] = db.execute(sql).fetchall()
            return rows

    return ask


def _ask_sqlite(path: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


def unsettled(ask: Ask) -> int:
    """Messages that are neither sent nor failed."""
    count: int = ask("SELECT count(*) FROM message WHERE state IN ('queued', 'sending')")[0][0]
    return count


def untruths(url: str, logins: list[Login], sender: Sender, played: list[Played]) -> Iterator[str]:
    """Everything in the store that is not as it must be, one line each.

    What was written in the last moments before the store forgot (`Act.forgets`) may be missing.
    """
    ask = asker(url)
    if url.startswith("sqlite") and (said := ask("PRAGMA integrity_check")) != [("ok",)]:
        yield f"integrity_check: {said}"
    if left := unsettled(ask):
        yield f"{left} messages are still to be sent"
    for number, state in ask("SELECT id, state FROM message"):
        if state in ("sent", "delivered") and number not in sender.taken:
            yield f"message {number} is noted as {state}, and the provider never had it"
    known = {number for (number,) in ask("SELECT id FROM message")}
    asked = {login.phone: login.created for login in logins}
    for number in sender.taken.keys() - known:
        if not any(one.forgot(at) for one in played for at in asked[sender.to[number]]):
            yield f"the provider had message {number}, which is not in the store"
    accepted: dict[str, int] = {row[0]: row[1] for row in ask(_DONE.format("check"))}
    verified: dict[str, int] = {row[0]: row[1] for row in ask(_DONE.format("verify"))}
    for what, counts in (("code was accepted", accepted), ("token was exchanged", verified)):
        for session_id, times in counts.items():
            if times != 1:
                yield f"session {session_id}: its {what} {times} times"
    for (session_id,) in ask("SELECT id FROM session WHERE state = 'used'"):
        if session_id not in accepted:
            yield f"session {session_id} is used, and no acceptance is in the audit log"
    used = {session_id for (session_id,) in ask("SELECT id FROM session WHERE state = 'used'")}
    spent = {session_id for (session_id,) in ask("SELECT session_id FROM spent")}
    for login in logins:
        for session_id, at in login.accepted.items():
            if any(one.forgot(at) for one in played):
                continue
            if session_id not in accepted:
                yield f"session {session_id}: a person was told that the code is right, the audit log was not"
        noted = login.verified in used and login.verified in spent
        if login.verified and not noted and not any(one.forgot(login.ended) for one in played):
            yield f"session {login.verified}: a person is logged in, and the store has forgotten it"
        for anew in login.anew:
            if (
                anew.verb in ("check", "verify")
                and (anew.lost or anew.unsure)
                and not _did_happen(anew, accepted, verified, played)
            ):
                yield f"session {anew.session_id}: {anew.verb} was refused, and had not been granted before"


def _did_happen(
    anew: Anew, accepted: Mapping[str, int], verified: Mapping[str, int], played: list[Played]
) -> bool:
    """Whether the answer that was lost had told that it is done; or what it asked for had become void."""
    done = {"check": accepted, "verify": verified}.get(anew.verb, {})
    return anew.session_id in done or any(one.voids(anew.since, anew.until) for one in played)
