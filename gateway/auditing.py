"""`kodgate audit`: what stands in the audit log, newest last."""

import re
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from gateway.bootstrap import build_gateway
from gateway.clock import to_iso
from gateway.contact import parse_contact
from gateway.errors import BadRequest
from gateway.local import LocalGateway
from gateway.settings import load_settings
from gateway.store.entries import Entry, Wanted

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@click.command()
@click.option("--project", "project_id", type=int, help="a project's number")
@click.option("--session", "session_id", help="a session's id")
@click.option("--action", help="such as session.check, or session for all of its kind")
@click.option("--to", help="a phone in E.164 or an email; the log itself holds neither")
@click.option("--since", help="2025-10-28, 2025-10-28T09:22 (UTC), or 30m, 2h, 7d ago")
@click.option("--until", help="likewise")
@click.option("--refused", is_flag=True, help="only what was refused")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="the newest")
@click.option("--json", "as_json", is_flag=True, help="a JSON object a line")
def audit(
    project_id: int | None,
    session_id: str | None,
    action: str | None,
    to: str | None,
    since: str | None,
    until: str | None,
    refused: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Who did what to which session and project, and why something was refused; newest last.

    Refusals appear some seconds late, alike ones as one line with their number.
    """
    config = load_settings()
    if config.hosted:
        raise click.ClickException("KODMOBI_URL is set: nothing is kept here, sessions are the upstream's")
    gateway = build_gateway(config)
    now = gateway.clock()
    wanted = Wanted(
        project_id=project_id,
        session_id=session_id.strip().upper() if session_id else None,
        action=action,
        destinations=_destinations(gateway, to) if to else None,
        since=_moment(since, now, "--since"),
        until=_moment(until, now, "--until"),
        refused=refused,
        limit=limit,
    )
    for entry in gateway.store.audit(wanted):
        click.echo(msgspec.json.encode(_object(entry)).decode() if as_json else _line(entry))


def _destinations(gateway: LocalGateway, to: str) -> tuple[bytes, ...]:
    try:
        return tuple(gateway.hashes_of(parse_contact(to)).values())
    except BadRequest as refusal:
        raise click.ClickException(f"--to {refusal.why('en')}") from None


def _moment(text: str | None, now: int, option: str) -> int | None:
    """Milliseconds since the epoch, of a time or of so long ago."""
    if not text:
        return None
    if ago := _AGO.fullmatch(text):
        return now - int(ago.group(1)) * _UNITS[ago.group(2)] * 1000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.ClickException(f"{option} {text!r}: write 2025-10-28, 2025-10-28T09:22 or 2h") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _object(entry: Entry) -> dict[str, Any]:
    """`destination` is the first half of the contact's keyed hash in hex: enough to tell people apart."""
    shown = {**msgspec.structs.asdict(entry), "at": to_iso(entry.at), "destination": _short(entry)}
    return {name: value for name, value in shown.items() if value not in ("", None)}


def _line(entry: Entry) -> str:
    parts = [
        to_iso(entry.at),
        entry.actor,
        entry.action,
        "" if entry.project_id is None else f"project {entry.project_id}",
        entry.session_id,
        _short(entry),
        f"refused: {entry.reason}" if entry.reason else "",
        entry.detail,
        f"{entry.times} times" if entry.times > 1 else "",
    ]
    return "  ".join(part for part in parts if part)


def _short(entry: Entry) -> str:
    return entry.destination[:8].hex() if entry.destination else ""
