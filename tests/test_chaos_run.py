"""A long run: thousands of logins while the bot process is killed again and again and the provider often fails."""

import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.figures import Figure
from tests.servers import PUBLIC, Servers, until

LOGINS = 2000
KILLS = 20
FAILING = 0.3  # of the provider's answers
CREATORS = 8
COMMIT_WITHIN = 1.0  # seconds between a provider's acceptance and our note of it, on a busy machine
READ_WITHIN = 0.5  # seconds until the sender reads what a bot wrote in its last moment


class Sender(ThreadingHTTPServer):
    """The operator's SMS sender: refuses some calls for now, and notes when it took which message."""

    daemon_threads = True

    def __init__(self, chance: random.Random) -> None:
        taken: dict[int, list[float]] = {}
        failed = [0]
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    fails = chance.random() < FAILING
                    if fails:
                        failed[0] += 1
                    else:
                        taken.setdefault(body["message_id"], []).append(time.monotonic())
                self.send_response(503 if fails else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.taken = taken
        self.failed = failed

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A bot that is killed breaks its connections off: that is the point."""


@pytest.fixture
def sender() -> Iterator[Sender]:
    server = Sender(random.Random(2026))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.timeout(400)
def test_nothing_is_lost_and_every_double_has_its_kill(tmp_path: Path, sender: Sender, figure: Figure) -> None:
    chance = random.Random(2026)
    settings = {
        "SMS_URL": f"webhook+http://127.0.0.1:{sender.server_port}/",
        "LEASE_SECONDS": "3",
        "PROVIDER_TIMEOUT_SECONDS": "2",
    }
    with Servers(tmp_path, **settings) as servers, ThreadPoolExecutor(CREATORS) as pool:
        done = threading.Event()

        def create(number: int) -> None:
            body = {"to": f"+7952{3_000_000 + number}", "type": "sms"}
            answer = servers.http.post(f"{servers.web}/session/create", json=body, headers=PUBLIC)
            assert answer.status_code == 200, answer.text
            time.sleep(0.1)

        logins = [pool.submit(create, number) for number in range(LOGINS)]
        kills: list[tuple[float, float]] = []
        for _ in range(KILLS):
            done.wait(chance.random())
            began = time.monotonic()
            servers.kill("bot")
            kills.append((began, time.monotonic()))
            servers.start("bot")
        for login in logins:
            login.result()
        until(lambda: len(sender.taken) >= LOGINS, "every message arrives", 120)
    doubles = {number: times for number, times in sender.taken.items() if len(times) > 1}
    figure(
        f"chaos: {LOGINS} logins, {KILLS} kills -9, {sender.failed[0]} calls failed by the provider:"
        f" {LOGINS - len(sender.taken)} lost, {len(doubles)} doubled"
    )
    assert len(sender.taken) == LOGINS
    for number, times in doubles.items():
        for taken in times[:-1]:
            after = min((taken - ended for _, ended in kills), key=abs)
            near = any(began - COMMIT_WITHIN <= taken <= ended + READ_WITHIN for began, ended in kills)
            assert near, f"message {number} doubled by us, taken {after:+.3f} s from the nearest kill"
