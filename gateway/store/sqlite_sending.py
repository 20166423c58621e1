"""The part of the SQLite store that queues a session's messages."""

import sqlite3
from typing import Any

import msgspec

from gateway.channels import Channel
from gateway.store import Order, OwnCode, Send, SessionRow, sqlite_sessions

SENT = ("queued", "parked")  # of what may become of a send, those that count
OWN_CODE = "UPDATE session SET code_mac = ?, own_code = ?, code_length = ? WHERE id = ?"


def choose(db: sqlite3.Connection, order: Order, session: SessionRow) -> Channel:
    """The channel that carries the code: what is wanted, what carries it already, what was used before."""
    if order.wanted:
        return order.wanted
    carrying = [send for send in session.sends if send.channel in order.allowed]
    if not order.discreet:
        carrying = [send for send in carrying if send.state != "failed"]
    if carrying:
        return max(carrying, key=lambda send: send.created_at).channel
    if order.discreet:
        return order.default
    known = _most_used(db, session) if order.most_used else session.last_channel
    return known if known in order.allowed and known else order.default


def queue(
    db: sqlite3.Connection,
    session: SessionRow,
    channel: Channel,
    now: int,
    cooldown: int,
    own: OwnCode | None,
    parks: bool,
    discreet: bool = False,
) -> tuple[SessionRow, Any]:
    """Queue or park a message, unless the channel rests; the session then, and `Queued.outcome`."""
    newest = next((send for send in session.sends if send.channel is channel), None)
    rests = newest is not None and newest.created_at + cooldown > now
    if newest and rests and newest.state != "parked" and (newest.state != "failed" or discreet):
        if own and not _is_code_of(db, session, own):
            return session, "cooling"
        return session, "unchanged" if newest.began_parked else "repeated" if own else "cooling"
    if own:
        db.execute(OWN_CODE, (own.mac, own.sealed, own.length, session.id))
    if newest and newest.state == "parked":
        if rests:
            return session, "unchanged"
        db.execute(
            "UPDATE message SET created_at = ? WHERE session_id = ? AND state = 'parked'", (now, session.id)
        )
        return sqlite_sessions.read(db, session.id), "parked"
    state = "parked" if channel is Channel.TELEGRAM and not session.active and parks else "queued"
    db.execute(
        "INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at)"
        " VALUES (?, ?, ?, ?, ?, 0)",
        (session.id, channel, state, state == "parked", now),
    )
    others = tuple(send for send in session.sends if send.channel is not channel)
    send = Send(channel, state, state == "parked", now)  # type: ignore[arg-type]
    return msgspec.structs.replace(session, sends=(*others, send)), state


def is_free(session: SessionRow, channel: Channel) -> bool:
    """Whether it costs nothing, as the bot delivers it."""
    return channel is Channel.TELEGRAM and session.active


def _is_code_of(db: sqlite3.Connection, session: SessionRow, own: OwnCode) -> bool:
    same = db.execute("SELECT 1 FROM session WHERE id = ? AND code_mac = ?", (session.id, own.mac))
    return same.fetchone() is not None


def _most_used(db: sqlite3.Connection, session: SessionRow) -> Channel | None:
    row = db.execute(
        "SELECT channel FROM habit WHERE project_id = ? AND destination = ? ORDER BY uses DESC, last_used_at DESC",
        (session.project_id, session.destination),
    ).fetchone()
    return Channel(row[0]) if row else None
