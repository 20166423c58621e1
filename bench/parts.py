"""Where the time of a login goes: its parts in a loop, and a profile, in this process by the CPU clock."""

import io
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from bench.figures import Parts
from bench.kinds import BenchStore
from bench.limits import NO_LIMITS_HERE
from bench.machine import taken
from bench.processes import SECRET
from bench.sizes import Size
from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.codes import DIGITS, derive_code
from gateway.contact import Contact, parse_contact
from gateway.render import render_message
from gateway.settings import Settings
from gateway.verbs import Caller
from web.api import Api

FIRST = 9_000_000
LOOK_EVERY = 0.001  # seconds of CPU; the kernel's own clock may be slower
TOP = 10
_WHOLE = "web.api.Api.__call__"


def measure(store: BenchStore, _: Path, size: Size) -> Parts:
    """Microseconds of each part, and the functions below which most of the time of whole logins is spent."""
    now = taken(store.version())
    limits: dict[str, Any] = {name.lower(): rate for name, rate in NO_LIMITS_HERE.items()}
    settings = Settings(
        _env_file=None,
        database_url=store.new("parts"),
        secret_keys=(SECRET,),
        sms_url="webhook+http://127.0.0.1:9/",
        project_public_key="pk_bench",
        project_secret_key="sk_bench",
        **limits,
    )
    gateway = build_gateway(settings)
    project, secret = gateway.authenticate("pk_bench")
    caller = Caller(project, secret, address="192.0.2.1", browser_key="b" * 22)
    phones = [f"+7952{FIRST + number}" for number in range(size.parts)]
    contacts = [Contact("phone", phone) for phone in phones]
    sessions = []
    micros = {"read the phone": _each(parse_contact, phones)}
    micros["create: the verb, its transaction in it"] = _each(
        lambda contact: sessions.append(gateway.create(caller, contact, send=False)), contacts
    )
    micros["encode create's answer"] = _each(msgspec.json.encode, sessions)
    key = gateway.keyring.first.code
    tries = [(one.session_id, derive_code(key, one.session_id, DIGITS, 6)) for one in sessions]
    micros["check: the verb, its transaction and token in it"] = _each(
        lambda one: gateway.check(caller, *one), tries
    )
    api = Api(gateway, settings, lambda *_: [])
    others = [f"+7951{phone[5:]}" for phone in phones]
    micros["create: the whole WSGI call"] = _each(lambda to: _create(api, to), others)
    micros["render an SMS"] = _each(
        lambda code: render_message(Channel.SMS, "en", code=code, project="P", minutes=3, host="h"), phones
    )
    seen: Counter[str] = Counter()
    with _sampled(seen):
        for phone in phones:
            session_id = _create(api, f"+7953{phone[5:]}")["session_id"]
            _call(api, "check", {"session_id": session_id, "code": derive_code(key, session_id, DIGITS, 6)})
    gateway.close()
    return Parts(now, {name: round(cost, 1) for name, cost in micros.items()}, _top(seen))


def _create(api: Api, to: str) -> dict[str, Any]:
    return _call(api, "create", {"to": to, "send": False})


def _call(api: Api, verb: str, fields: dict[str, Any]) -> dict[str, Any]:
    body = msgspec.json.encode(fields)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/session/{verb}",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_X_API_KEY": "pk_bench",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": io.BytesIO(body),
    }
    statuses: list[str] = []
    answer = b"".join(api(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
    if statuses != ["200 OK"]:
        raise SystemExit(f"{verb}: {statuses} {answer.decode()}")
    decoded: dict[str, Any] = msgspec.json.decode(answer)
    return decoded


def _each(act: Callable[[Any], object], items: list[Any]) -> float:
    began = time.process_time()
    for item in items:
        act(item)
    return (time.process_time() - began) / len(items) * 1e6


@contextmanager
def _sampled(seen: Counter[str]) -> Iterator[None]:
    """Look every now and then at which functions are at work; a profiler would slow down the small ones most."""

    def look(_: int, frame: FrameType | None) -> None:
        names = set()
        while frame:
            names.add(name := f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")
            frame = frame.f_back
            if name == _WHOLE:
                seen.update(names)
                return

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, LOOK_EVERY, LOOK_EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _top(seen: Counter[str]) -> list[tuple[str, float]]:
    whole = seen.pop(_WHOLE, 1)
    return [(name, round(count / whole, 3)) for name, count in seen.most_common(TOP)]
