"""`kodgate health` against real processes: well, not there, not well, and another program in their place."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bench.processes import free_ports
from tests.figures import Figure
from tests.servers import Servers


def ask(servers: Servers, *arguments: str, **environment: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "health", *arguments],
        cwd=servers.folder,
        env={**servers.environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_all_that_listen_here_are_well(servers: Servers) -> None:
    status, said = ask(servers)
    assert (status, said.count("ok ")) == (0, 2), said


def test_on_every_address_both_kinds_are_served(tmp_path: Path, figure: Figure) -> None:
    """HOST=:: means IPv4 as well, whoever listens."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        figure("HOST=:: was not tried: there is no IPv6 here")
        return
    with Servers(tmp_path, HOST="::") as run:
        for url in (run.web, run.live, run.sandbox):
            for there in (url, url.replace("127.0.0.1", "[::1]")):
                assert run.http.get(f"{there}/healthz").status_code == 200, there
        status, said = ask(run)
        assert (status, said.count("ok ")) == (0, 2), said


def test_a_proxy_of_the_environments_is_not_asked(servers: Servers) -> None:
    """An engine puts them into every container."""
    [nobody] = free_ports(1)
    status, said = ask(servers, http_proxy=f"http://127.0.0.1:{nobody}")
    assert (status, said.count("ok ")) == (0, 2), said


@pytest.mark.parametrize("name", ["web", "bot"])
def test_one_that_is_named_is_asked_alone(servers: Servers, name: str) -> None:
    status, said = ask(servers, name)
    assert status == 0, said
    assert said.startswith(f"ok   {name}: http://127.0.0.1:")
    assert said.count("\n") == 1


def test_each_of_several_is_asked_by_its_port(servers: Servers) -> None:
    [nobody] = free_ports(1)
    port, live_port = servers.environment["PORT"], servers.environment["LIVE_PORT"]
    elsewhere = {"PORT": str(nobody), "LIVE_PORT": str(nobody)}
    status, said = ask(servers, f"web:{port}", f"bot:{live_port}", **elsewhere)
    assert (status, said.count("ok ")) == (0, 2), said
    status, said = ask(servers, f"web:{port}", f"web:{nobody}", f"web:{live_port}")
    assert (status, said.count("ok ")) == (1, 1)
    assert f"WRONG web:{nobody}: does not listen\n" in said
    assert f"WRONG web:{live_port}: another program answers at" in said


@pytest.mark.parametrize("name", ["sandbox", "web:", "web:0", "web:65536", "web:\u0663", "web:http", ":8080", ""])
def test_a_name_that_is_none_is_told_so(servers: Servers, name: str) -> None:
    status, said = ask(servers, name)
    assert status == 2
    assert "write one of web, bot, worker, or such as web:8081" in said


def test_one_that_does_not_listen_is_left_out_unless_it_is_named(servers: Servers) -> None:
    [nobody] = free_ports(1)
    assert ask(servers, LIVE_PORT=str(nobody))[0] == 0
    status, said = ask(servers, "bot", LIVE_PORT=str(nobody))
    assert (status, said) == (1, "WRONG bot: does not listen\n")


def test_where_nobody_listens_nothing_is_well(servers: Servers) -> None:
    one, other, third = map(str, free_ports(3))
    status, said = ask(servers, PORT=one, LIVE_PORT=other, WORKER_PORT=third)
    assert (status, said) == (1, "WRONG health: none of web, bot, worker listens here\n")


def test_it_waits_for_one_that_is_starting(tmp_path: Path) -> None:
    with Servers(tmp_path, ()) as none_yet:
        none_yet.start("web", wait=False)
        status, said = ask(none_yet, "web", "--wait", "60")
        assert status == 0, said


def test_another_program_in_its_place_is_not_taken_for_it(servers: Servers) -> None:
    status, said = ask(servers, "web", PORT=servers.environment["SANDBOX_PORT"])
    assert status == 1
    assert "another program answers at http://127.0.0.1:" in said


class Failing(BaseHTTPRequestHandler):
    """A process that listens and can't serve."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b'{"status": "failing", "store": "disk full"}')

    def log_message(self, *_: object) -> None:
        pass


def test_one_that_can_not_serve_says_why(servers: Servers) -> None:
    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        status, said = ask(servers, "web", PORT=str(server.server_port))
    assert (status, said) == (1, 'WRONG web: {"status": "failing", "store": "disk full"}\n')
