"""docs/deployment.md names what exists, and a backup by its command holds what is worth restoring."""

import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import click

from gateway.cli import main
from gateway.settings import Settings
from tests.servers import ROOT
from tests.world import make_world, new_phone

TEXT = (ROOT / "docs" / "deployment.md").read_text("utf-8")
NOT_OURS = {"WARNING", "ERROR", "GET", "X"}
OF_THE_SAMPLES = {"SITE", "WEB", "BOT", "REPOSITORY"}


def test_every_setting_that_it_names_exists() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)\b[^`]*`", TEXT)) - NOT_OURS - OF_THE_SAMPLES
    assert len(named) > 12
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"(?:/bin/|[` ])kodgate (web|bot|worker|[a-z]+(?: [a-z-]+)?)[ `\n)]", TEXT))
    assert len(named) > 4
    for words in named:
        command: click.Command = main
        for word in words.split():
            if isinstance(command, click.Group):
                assert word in command.commands, words
                command = command.commands[word]


def test_every_sample_that_it_names_exists() -> None:
    named = set(re.findall(r"\bdeploy/([\w.-]+)", TEXT)) - {".env"}
    assert named >= {"nginx.conf", "env.example", "compose.yaml"}
    assert all((ROOT / "deploy" / name).exists() for name in named)


def test_a_backup_taken_while_people_log_in_is_whole(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    active = new_phone()
    world.create(active)
    world.activate(active, chat_id=77)
    over = threading.Event()

    def log_in() -> None:
        while not over.is_set():
            world.create(new_phone())

    people = threading.Thread(target=log_in)
    people.start()
    backups = tmp_path / "backups"
    backups.mkdir()
    script = _backup(tmp_path, backups)
    nights = [subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=False) for _ in range(2)]
    over.set()
    people.join()
    assert [night.returncode for night in nights] == [0, 0], nights[-1].stderr
    [backup] = backups.iterdir()
    assert backup.stat().st_mode & 0o077 == 0, "it holds what the store does"
    restored = tmp_path / "restored"
    restored.mkdir()
    backup.rename(restored / "kodgate.sqlite3")
    with closing(sqlite3.connect(restored / "kodgate.sqlite3")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = make_world(restored, world.clock)
    [telegram] = [channel for channel in again.create(active).channels if channel.type == "telegram"]
    assert telegram.is_active


def _backup(store: Path, backups: Path) -> str:
    """The commands of the guide, on other folders."""
    script: str
    [script] = re.findall(r"```sh\n([^`]*VACUUM INTO[^`]*)```", TEXT)
    places = {
        "/opt/kodgate/.venv/bin/python": sys.executable,
        "/var/lib/kodgate/": f"{store}/",
        "/var/backups/": f"{backups}/",
    }
    for place, ours in places.items():
        assert place in script
        script = script.replace(place, ours)
    return script
