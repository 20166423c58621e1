"""`python -m web`: granian with our settings."""

from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.log import LogLevels
from granian.server import Server

from gateway.bootstrap import need_port, start_process

BACKPRESSURE = 1024  # keep-alive connections a worker holds; more of them would wait unaccepted


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    config, gateway = start_process("web")  # here, so that what is wrong is said once, not by every worker
    gateway.store.close()
    need_port("web", config.host, config.port)
    Server(
        "web.wsgi:make_application",
        factory=True,
        address=config.host,
        port=config.port,
        interface=Interfaces.WSGI,
        workers=config.web_workers,
        blocking_threads=config.web_threads,
        runtime_mode=RuntimeModes.st,
        backpressure=BACKPRESSURE,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=max(1, round(config.shutdown_seconds)),
        respawn_failed_workers=True,
        respawn_interval=0.5,
    ).serve()


if __name__ == "__main__":
    main()
