"""Processes restarted, and upgraded, one after another while people log in: nobody notices."""

import io
import shutil
import sqlite3
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gateway.store.sqlite import MIGRATIONS
from tests.balancer import Balancer
from tests.servers import PUBLIC, ROOT, SECRET, Servers
from tests.world import new_phone

LOOKED_AT = 1000  # commits of the history
PEOPLE = 4  # at once; each begins a login, and half a second after its end another


class People:
    """Log in by SMS, through a proxy, and keep what went wrong. A browser's connections are kept alive."""

    def __init__(self, servers: Servers, site: str) -> None:
        self._servers = servers
        self._site = site
        self._end = threading.Event()
        self.phones: list[str] = []
        self.failed: list[str] = []
        self.slowest = 0.0

    def log_in_on_and_on(self) -> None:
        with httpx.Client(timeout=30) as http:
            while not self._end.wait(0.5):
                phone = new_phone()
                began = time.monotonic()
                try:
                    self._log_in(http, phone)
                except (AssertionError, httpx.HTTPError, LookupError) as problem:
                    self.failed.append(f"{type(problem).__name__}: {problem}")
                self.phones.append(phone)
                self.slowest = max(self.slowest, time.monotonic() - began)

    def _log_in(self, http: httpx.Client, phone: str) -> None:
        session_id = self._post(http, "create", {"to": phone, "type": "sms"}, PUBLIC)["session_id"]
        code = self._letter(http, phone)
        token = self._post(http, "check", {"session_id": session_id, "code": code}, PUBLIC)["verify_token"]
        assert self._post(http, "verify", {"verify_token": token}, SECRET)["phone"] == phone

    def _post(self, http: httpx.Client, verb: str, body: dict[str, str], keys: dict[str, str]) -> dict[str, str]:
        answer = http.post(f"{self._site}/session/{verb}", json=body, headers=keys)
        assert answer.status_code == 200, f"{verb}: {answer.status_code} {answer.text}"
        found: dict[str, str] = answer.json()
        return found

    def _letter(self, http: httpx.Client, phone: str) -> str:
        end = time.monotonic() + 30
        while not (letters := http.get(f"{self._servers.sandbox}/inbox.json", params={"to": phone}).json()):
            assert time.monotonic() < end, "the code did not arrive"
            time.sleep(0.05)
        code: str = letters[0]["code"]
        return code

    @contextmanager
    def at_it(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.log_in_on_and_on) for _ in range(PEOPLE)]
        for thread in threads:
            thread.start()
        try:
            yield
            time.sleep(1)
        finally:
            self._end.set()
            for thread in threads:
                thread.join(60)

    def look(self, balancer: Balancer) -> None:
        """Nobody failed, and nobody's code came twice or not at all."""
        print(f"{len(self.phones)} logins, the slowest {self.slowest:.1f} s; {dict(balancer.answered)}")
        assert not self.failed, "\n".join(self.failed)
        assert balancer.broken == []
        assert len(self.phones) > 2 * PEOPLE
        assert {len(self._servers.letters(phone)) for phone in self.phones} == {1}


def code_before_the_newest_migration(folder: Path) -> Path:
    """Kodgate as it was then, out of the repository's history."""
    *former, _ = sorted(file.name for file in MIGRATIONS.glob("*.sql"))
    for commit in _git("rev-list", f"--max-count={LOOKED_AT}", "HEAD").decode().split():
        tree = _git("ls-tree", "--name-only", f"{commit}:{MIGRATIONS.relative_to(ROOT)}").decode().split()
        if sorted(tree) == former:
            break
    else:
        pytest.skip("the repository's history is not here")
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")
    for catalogue in (ROOT / "templates/locale").rglob("*.mo"):  # compiled, and so not in the history
        shutil.copy(catalogue, folder / catalogue.relative_to(ROOT))
    return folder


def _git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False).stdout


@pytest.mark.timeout(400)
def test_a_rolling_restart_fails_no_login_and_loses_and_doubles_no_message(tmp_path: Path) -> None:
    with Balancer() as balancer, Servers(tmp_path, PUBLIC_URL=balancer.url) as servers:
        balancer.upstreams = [servers.web, servers.beside("web2", "web")]
        servers.beside("bot2", "bot")
        servers.start("web2")
        servers.start("bot2")
        people = People(servers, balancer.url)
        with people.at_it():
            for name in ("web", "web2", "bot", "bot2"):
                print(f"{name} ended within {servers.stop(name):.1f} s")
                servers.start(name)
        people.look(balancer)


@pytest.mark.timeout(400)
def test_a_rolling_upgrade_fails_no_login_and_loses_and_doubles_no_message(tmp_path: Path) -> None:
    """The code before the newest migration goes on beside what has it, until each process is another's turn."""
    every = ("web1", "web2", "bot1", "bot2")
    old = {"PYTHONPATH": str(code_before_the_newest_migration(tmp_path / "old"))}
    with Balancer() as balancer, Servers(tmp_path, ("sandbox",), PUBLIC_URL=balancer.url) as servers:
        balancer.upstreams = [servers.beside("web1", "web", **old), servers.beside("web2", "web", **old)]
        servers.beside("bot1", "bot", **old)
        servers.beside("bot2", "bot", **old)
        for name in every:
            servers.start(name)
        known = migrations(tmp_path)
        people = People(servers, balancer.url)
        with people.at_it():
            for name in every:
                servers.stop(name)
                servers.upgrade(name)
                servers.start(name)
                assert migrations(tmp_path) > known
                time.sleep(2)
        people.look(balancer)


def migrations(folder: Path) -> int:
    database = sqlite3.connect(folder / "kodgate.sqlite3")
    count: int = database.execute("SELECT count(*) FROM migration").fetchone()[0]
    database.close()
    return count
