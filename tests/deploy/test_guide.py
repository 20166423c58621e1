"""docs/deployment.md names what exists, and a backup by its command holds what is worth restoring."""

import re
import shlex
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import click

from gateway.cli import main
from gateway.settings import Settings
from tests.servers import ROOT
from tests.world import make_world, new_phone

TEXT = (ROOT / "docs" / "deployment.md").read_text("utf-8")
NOT_OURS = {"WARNING", "ERROR", "GET", "X"}
OF_THE_SAMPLES = {"SITE", "WEB", "BOT", "REQUEST_BUFFERS", "REPOSITORY"}


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
    [line] = re.findall(r"^/opt/kodgate/\.venv/bin/python -c .*VACUUM INTO.*$", TEXT, re.MULTILINE)
    line = line.replace("/var/lib/kodgate/", f"{tmp_path}/").replace("/var/backups/", f"{tmp_path}/backup-")
    _, *arguments = shlex.split(line)
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    over.set()
    people.join()
    assert ended.returncode == 0, ended.stderr
    restored = tmp_path / "restored"
    restored.mkdir()
    (tmp_path / "backup-kodgate.sqlite3").rename(restored / "kodgate.sqlite3")
    with sqlite3.connect(restored / "kodgate.sqlite3") as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = make_world(restored, world.clock)
    [telegram] = [channel for channel in again.create(active).channels if channel.type == "telegram"]
    assert telegram.is_active
