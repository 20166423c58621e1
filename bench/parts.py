"""Where the time of a login goes: its parts in a loop, in this process, by the CPU clock."""

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.limits import NO_LIMITS_HERE
from bench.processes import SECRET
from gateway.bootstrap import build_gateway
from gateway.channels import Channel
from gateway.codes import DIGITS, derive_code
from gateway.contact import Contact, parse_contact
from gateway.render import render_message
from gateway.settings import Settings
from gateway.verbs import Caller
from web.api import Api

FIRST = 9_000_000


def measure(folder: Path, times: int) -> dict[str, float]:
    """Microseconds of each part."""
    limits: dict[str, Any] = {name.lower(): rate for name, rate in NO_LIMITS_HERE.items()}
    settings = Settings(
        _env_file=None,
        database_url=f"sqlite:///{folder}/parts.sqlite3",
        secret_keys=(SECRET,),
        sms_url="webhook+http://127.0.0.1:9/",
        project_public_key="pk_bench",
        project_secret_key="sk_bench",
        **limits,
    )
    gateway = build_gateway(settings)
    project, secret = gateway.authenticate("pk_bench")
    caller = Caller(project, secret, address="192.0.2.1", browser_key="b" * 22)
    phones = [f"+7952{FIRST + number}" for number in range(times)]
    contacts = [Contact("phone", phone) for phone in phones]
    sessions = []
    parts = {"read the phone (phonenumbers)": _each(parse_contact, phones)}
    parts["create: the verb, its transaction in it"] = _each(
        lambda contact: sessions.append(gateway.create(caller, contact, send=False)), contacts
    )
    parts["encode create's answer"] = _each(msgspec.json.encode, sessions)
    key = gateway.keyring.first.code
    tries = [(one.session_id, derive_code(key, one.session_id, DIGITS, 6)) for one in sessions]
    parts["check: the verb, its transaction and token in it"] = _each(
        lambda one: gateway.check(caller, *one), tries
    )
    api = Api(gateway, settings, lambda *_: [])
    bodies = [msgspec.json.encode({"to": f"+7951{phone[5:]}", "send": False}) for phone in phones]
    parts["create: the whole WSGI call"] = _each(lambda body: _call(api, "/session/create", body), bodies)
    parts["render an SMS"] = _each(
        lambda code: render_message(Channel.SMS, "en", code=code, project="P", minutes=3, host="h"), phones
    )
    gateway.store.close()
    return parts


def _call(api: Api, path: str, body: bytes) -> None:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_X_API_KEY": "pk_bench",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.input": io.BytesIO(body),
    }
    statuses: list[str] = []
    api(environ, lambda status, *_: statuses.append(status))  # type: ignore[arg-type]
    if statuses != ["200 OK"]:
        raise SystemExit(f"{path}: {statuses}")


def _each(act: Callable[[Any], object], items: list[Any]) -> float:
    began = time.process_time()
    for item in items:
        act(item)
    return (time.process_time() - began) / len(items) * 1e6
