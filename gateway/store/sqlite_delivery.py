"""The part of the SQLite store that hands messages out and writes down what became of them."""

import sqlite3
from collections.abc import Sequence
from functools import cache
from typing import Any

from gateway.channels import Channel
from gateway.clock import AHEAD
from gateway.store import Claimed, Outcome, sqlite_events, sqlite_fallback, sqlite_manual


def claim(
    db: sqlite3.Connection, void_before: int, now: int, lease: int, channels: Sequence[Channel], most: int
) -> list[Claimed]:
    """Hand out what is due; it is the claimer's until `now` + `lease`. What came too late has failed."""
    if not channels or not most:
        return []
    asked = (void_before, now + AHEAD, *channels, now, most)
    rows = db.execute(_due(len(channels)), asked).fetchall()
    alive = [row for row in rows if row[-2] == "live" and row[-1] > now]
    for row in rows:
        if row not in alive:
            finish(db, Outcome(row[0], "failed", error="the session was over"), now)
    db.executemany(
        "UPDATE message SET state = 'sending', attempts = attempts + 1, due_at = ? WHERE id = ?",
        [(now + lease, row[0]) for row in alive],
    )
    return [_claimed(row) for row in alive]


def soonest(db: sqlite3.Connection, channels: Sequence[Channel]) -> int | None:
    """When the next message of these channels is due."""
    if not channels:
        return None
    due: int | None = db.execute(_next_due(len(channels)), channels).fetchone()[0]
    return due


def finish(db: sqlite3.Connection, outcome: Outcome, now: int) -> None:
    """Write down what became of a message, once; where it failed, another channel may take over."""
    finished = None if outcome.state == "queued" else now
    row = db.execute(
        "UPDATE message SET state = ?, reference = ?, error = ?, due_at = ?, finished_at = ?,"
        " given_up = given_up | ?, tap = ?"
        " WHERE id = ? AND state IN ('queued', 'sending') RETURNING session_id, channel",
        (
            outcome.state,
            outcome.reference,
            outcome.error,
            outcome.due_at,
            finished,
            outcome.given_up,
            outcome.tap,
            outcome.message_id,
        ),
    ).fetchone()
    if not row or not finished:
        return
    session_id, channel = row
    if outcome.state == "failed" and outcome.instead:
        sqlite_fallback.take_over(db, session_id, Channel(channel), outcome.instead, outcome.ceilings, now)
    if outcome.reference:
        sqlite_fallback.apply_early(db, Channel(channel), outcome, now)
    sqlite_events.announce(db, session_id, now)
    sqlite_manual.ended(db, outcome.message_id, now)


@cache
def _due(channels: int) -> str:
    """Due messages, each with its session's or, for a server's own (manual/send), its order's part."""
    return f"""
        SELECT m.id, m.session_id, coalesce(s.project_id, o.project_id), m.channel, coalesce(s.lang, o.lang),
            coalesce(s.sealed, o.sealed), coalesce(s.code_length, o.code_length),
            coalesce(s.own_code, o.own_code), m.attempts, m.created_at, a.chat_id, m.given_up, o.provider,
            coalesce(s.browser, ''), coalesce(s.place, ''), s.browser_mac <> x'' AND NOT s.joined,
            iif(o.id IS NOT NULL, 'live', iif(s.created_at BETWEEN ? AND ?, s.state, 'void')),
            coalesce(s.expires_at, o.expires_at)
        FROM message m LEFT JOIN session s ON s.id = m.session_id LEFT JOIN manual o ON o.id = m.session_id
        LEFT JOIN activation a ON a.project_id = coalesce(s.project_id, o.project_id)
            AND a.destination = coalesce(s.destination, o.destination) AND a.active = 1
        WHERE {_waiting(channels)} AND m.due_at <= ? ORDER BY m.due_at, m.id LIMIT ?
    """  # noqa: S608 - marks only


@cache
def _next_due(channels: int) -> str:
    return f"SELECT min(m.due_at) FROM message m WHERE {_waiting(channels)}"  # noqa: S608 - marks only


def _waiting(channels: int) -> str:
    marks = ", ".join("?" * channels)
    return f"m.channel IN ({marks}) AND m.state IN ('queued', 'sending')"


def _claimed(row: Sequence[Any]) -> Claimed:
    number, session_id, project_id, channel, lang, sealed, length, own, attempts, created_at, *more = row
    chat_id, given_up, provider, browser, place, tap, _, end = more
    return Claimed(
        number,
        session_id,
        project_id,
        Channel(channel),
        lang,
        sealed,
        length,
        own,
        attempts + 1,
        created_at,
        end,
        chat_id,
        given_up,
        provider,
        browser,
        place,
        bool(tap),
    )
