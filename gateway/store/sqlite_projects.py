"""The part of the SQLite store that writes projects and their API keys."""

import sqlite3
from functools import cache

import msgspec

from gateway.clock import system_clock, to_iso
from gateway.projects import ProjectSettings, changed_names
from gateway.store import StoreError, sqlite_audit
from gateway.store.entries import By


@cache
def read_settings(text: str) -> ProjectSettings:
    """A project's settings, as they are stored; the same text is read once."""
    return msgspec.json.decode(text, type=ProjectSettings)


def add(db: sqlite3.Connection, settings: ProjectSettings, by: By) -> int:
    """A new project; its id."""
    text = msgspec.json.encode(settings).decode()
    row = db.execute(
        "INSERT INTO project (settings, created_at) VALUES (?, ?) RETURNING id", (text, by.now)
    ).fetchone()
    number: int = row[0]
    sqlite_audit.write(db, by.now, by.actor, "project.create", number)
    return number


def note_changes(db: sqlite3.Connection, project_id: int, settings: ProjectSettings, by: By | None) -> None:
    """Tell the audit log which settings are about to change."""
    row = db.execute("SELECT settings FROM project WHERE id = ?", (project_id,)).fetchone()
    if row and (names := changed_names(row[0], settings)):
        by = by or By("system", system_clock())
        sqlite_audit.write(db, by.now, by.actor, "project.change", project_id, detail=names)


def note_keys(db: sqlite3.Connection, project_id: int, old_until: int, by: By | None) -> None:
    """Tell the audit log that a project has new keys."""
    by = by or By("system", system_clock())
    end = f"the old ones end at {to_iso(max(old_until, by.now))}"
    sqlite_audit.write(db, by.now, by.actor, "project.keys", project_id, detail=end)


def set_keys(
    db: sqlite3.Connection, project_id: int, public: bytes, secret: bytes, code_key: bytes, old_until: int
) -> None:
    """New keys for a project, or one; others that it had work until then.

    Raises `StoreError` where another project has them, or where they were of the other kind.
    """
    end_old_keys(db, project_id)
    taken = db.execute(
        "SELECT 1 FROM api_key WHERE hash = ?1 AND (project_id <> ?3 OR secret) OR hash = ?2"
        " AND (project_id <> ?3 OR NOT secret)",
        (public, secret, project_id),
    ).fetchone()
    if taken or public == secret:
        raise StoreError("one of these API keys is already in use")
    replaced = "UPDATE api_key SET expires_at = ? WHERE project_id = ? AND hash NOT IN (?, ?)"
    db.execute(replaced, (old_until, project_id, public, secret))
    db.execute("INSERT OR IGNORE INTO api_key (hash, project_id, secret) VALUES (?, ?, 0)", (public, project_id))
    with_code = "INSERT OR IGNORE INTO api_key (hash, project_id, secret, code_key) VALUES (?, ?, 1, ?)"
    db.execute(with_code, (secret, project_id, code_key))


def end_old_keys(db: sqlite3.Connection, project_id: int) -> None:
    """What was replaced, and still works, works no longer."""
    db.execute("DELETE FROM api_key WHERE project_id = ? AND expires_at IS NOT NULL", (project_id,))
