"""`kodgate run`: all processes in the foreground, started again when they fall over."""

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import combinations

from gateway.bootstrap import need_port
from gateway.direct import open_directly
from gateway.settings import Settings, SettingsError

RESTART_AFTER = 1.0  # seconds: soon, but not in a spin
STOP_WITHIN = 5.0  # seconds from SIGTERM to SIGKILL; each process drains within 4
CANNOT_START = 2  # the exit code of a wrong setting: starting again would not help
HEAD_START = 0.4  # seconds: the page first, then the bot, whose imports keep a core busy
READY_WITHIN = 30.0
PORTS = {"web": "port", "bot": "live_port", "sandbox": "sandbox_port"}

Processes = dict[str, subprocess.Popen[bytes]]


def run_all(settings: Settings) -> int:
    """Run until SIGINT or SIGTERM, or the terminal is closed; the exit code. Raises `SettingsError`."""
    ports = {name: getattr(settings, its) for name, its in PORTS.items() if name != "sandbox" or settings.sandbox}
    _need_different(ports)
    for name, port in ports.items():
        need_port(name, settings.host, port)
    stop = threading.Event()
    ends = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup's: then a closed terminal ends nothing
        ends.append(signal.SIGHUP)
    for number in ends:
        signal.signal(number, lambda *_: stop.set())
    processes: Processes = {}
    try:
        for name in ports:
            processes[name] = _start(name, settings)
            if name == "web":
                stop.wait(HEAD_START)
        threading.Thread(target=_greet, args=(settings, stop), daemon=True).start()
        return _look_after(processes, settings, stop)
    finally:  # on a terminal that is gone, a line can't be written either
        _end(processes)


def _need_different(ports: dict[str, int]) -> None:
    """Only here: started one by one they may be on machines of their own, each with the one port it is given."""
    for one, other in combinations(ports, 2):
        if ports[one] == ports[other]:
            both = f"{PORTS[one].upper()} and {PORTS[other].upper()}"
            raise SettingsError(f"{both} are the same, {ports[one]}: {one} and {other} each need their own")


def _look_after(processes: Processes, settings: Settings, stop: threading.Event) -> int:
    while not stop.wait(0.2):
        for name, process in processes.items():
            code = process.poll()
            if code == CANNOT_START:
                return CANNOT_START
            if code is not None:
                sys.stderr.write(f"kodgate: {name} ended with {code}, started again\n")
                if stop.wait(RESTART_AFTER):
                    return 0
                processes[name] = _start(name, settings)
    return 0


def _start(name: str, settings: Settings) -> subprocess.Popen[bytes]:
    # Where we were started, whose .env is theirs as well; -P: what lies there is never taken for our modules.
    # The sandbox, which knows nothing of ours, reads its environment alone.
    its = {"HOST": settings.host, "SANDBOX_PORT": str(settings.sandbox_port), "PUBLIC_URL": settings.public_url}
    environment = os.environ | its if name == "sandbox" else None
    return subprocess.Popen([sys.executable, "-P", "-m", name], env=environment)


def _end(processes: Processes) -> None:
    for process in processes.values():
        process.terminate()
    end = time.monotonic() + STOP_WITHIN
    for process in processes.values():
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _greet(settings: Settings, stop: threading.Event) -> None:
    """Say where to go as soon as the page is there."""
    end = time.monotonic() + READY_WITHIN
    while not stop.is_set() and time.monotonic() < end:
        try:
            with open_directly(f"http://{settings.local_host}:{settings.port}/healthz", timeout=2):
                break
        except OSError:
            stop.wait(0.05)
    else:
        return
    lines = [f"Kodgate is ready at {settings.public_url}"]
    if settings.sandbox:
        lines.append(f"The sandbox's inbox and phone are at {settings.sandbox_url}")
    sys.stderr.write("\n  " + "\n  ".join(lines) + "\n\n")
