"""`kodgate health`: what the processes of this machine say of themselves, for whoever watches or restarts them."""

import json
import time
from collections.abc import Iterable
from http.client import HTTPException
from urllib.error import HTTPError, URLError

from gateway.direct import open_directly
from gateway.doctor import Finding
from gateway.settings import Settings

PORTS = {"web": "port", "bot": "live_port", "worker": "worker_port"}
PATIENCE = 5.0  # seconds for an answer; a process that takes longer serves nobody in time
AGAIN_AFTER = 0.2  # seconds between two looks


def ask_health(settings: Settings, names: Iterable[str], wait: float) -> list[Finding]:
    """The processes named, such as `web` or `web:8081`, else all that listen at the settings' ports.

    Asked again for `wait` seconds, until all are well.
    """
    end = time.monotonic() + wait
    while not is_well(found := _ask(settings, tuple(names))) and time.monotonic() < end:
        time.sleep(AGAIN_AFTER)
    return found


def is_name(text: str) -> bool:
    """Whether it names a process, with or without a port."""
    process, colon, port = text.partition(":")
    return process in PORTS and (not colon or (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536))


def is_well(findings: list[Finding]) -> bool:
    return all(finding.well for finding in findings)


def _ask(settings: Settings, names: tuple[str, ...]) -> list[Finding]:
    asked = {name: _one(settings, name) for name in names or PORTS}
    found = [
        finding or Finding(name, False, "does not listen") for name, finding in asked.items() if names or finding
    ]
    return found or [Finding("health", False, f"none of {', '.join(PORTS)} listens here")]


def _one(settings: Settings, name: str) -> Finding | None:
    """None where nobody listens."""
    process, _, port = name.partition(":")
    url = f"http://{settings.local_host}:{port or getattr(settings, PORTS[process])}/healthz"
    try:
        with open_directly(url, timeout=PATIENCE) as answer:
            said = json.load(answer)
    except HTTPError as refusal:
        return Finding(name, False, refusal.read(1000).decode("utf-8", "replace"))
    except URLError as problem:
        return None if isinstance(problem.reason, ConnectionRefusedError) else Finding(name, False, str(problem))
    except (OSError, HTTPException, ValueError) as problem:
        return Finding(name, False, f"no answer: {problem or type(problem).__name__}")
    well = isinstance(said, dict) and said.get("process") == process
    return Finding(name, well, url if well else f"another program answers at {url}")
