"""`python -m web`: granian with our settings."""

import multiprocessing
from contextlib import nullcontext
from typing import Any

from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server
from granian.server.common import AbstractServer

import web.orphan  # noqa: F401 - here, so that workers know who their master is
from gateway.bootstrap import need_port, start_process
from gateway.metrics import shared_folder
from gateway.misspelt import warn_of_misspelt

BACKPRESSURE = 1024  # keep-alive connections a worker holds; more of them would wait unaccepted
LONGEST_HEAD = 32 * 1024  # bytes of a request's address and headers; a widget's address has 3 KiB
KILL_AFTER = 4  # seconds from SIGTERM: all of web ends within 5


def make_server(target: str, host: str, port: int, *, workers: int, factory: bool) -> AbstractServer[Any]:
    """granian's RSGI server; `web.door` is what it serves."""
    # Else on Python 3.14 workers begin anew, and each takes itself for its master (web.orphan).
    multiprocessing.set_start_method("fork", force=True)
    return Server(
        target,
        factory=factory,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        workers=workers,
        runtime_mode=RuntimeModes.st,
        backpressure=BACKPRESSURE,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=LONGEST_HEAD),
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=KILL_AFTER,
        respawn_failed_workers=True,
        respawn_interval=0.5,
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    # here, so that what is wrong is said once, not by every worker
    config, gateway = start_process("web", counts=False)
    gateway.close()
    warn_of_misspelt()
    need_port("web", config.host, config.port)
    server = make_server(
        "web.wsgi:make_door",
        config.host,
        config.port,
        workers=config.web_workers,
        factory=True,
    )
    with shared_folder(config.web_workers) if config.metrics_token else nullcontext():
        server.serve()


if __name__ == "__main__":
    main()
