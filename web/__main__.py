"""`python -m web`: granian with our settings."""

from typing import Any

from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.log import LogLevels
from granian.server import Server
from granian.server.common import AbstractServer

from gateway.bootstrap import need_port, start_process

BACKPRESSURE = 1024  # keep-alive connections a worker holds; more of them would wait unaccepted
KILL_AFTER = 4  # seconds from SIGTERM: all of web ends within 5


def make_server(
    target: str, host: str, port: int, *, workers: int, threads: int, factory: bool
) -> AbstractServer[Any]:
    """granian's WSGI server; one blocking thread a worker is the fastest where verbs don't wait (MEASURED)."""
    return Server(
        target,
        factory=factory,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        runtime_mode=RuntimeModes.st,
        backpressure=BACKPRESSURE,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=KILL_AFTER,
        respawn_failed_workers=True,
        respawn_interval=0.5,
    )


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config, gateway = start_process("web")  # here, so that what is wrong is said once, not by every worker
    gateway.close()
    need_port("web", config.host, config.port)
    make_server(
        "web.wsgi:make_application",
        config.host,
        config.port,
        workers=config.web_workers,
        threads=config.web_threads,
        factory=True,
    ).serve()


if __name__ == "__main__":
    main()
