"""kod.mobi's published curl examples, run by real curl; only host, key, contact and session are filled in."""

import json
import shlex
import shutil
import subprocess
from typing import Any

import pytest

from tests.servers import Servers
from tests.test_api import CHANNEL
from tests.world import new_phone

HOST = "https://api.kod.mobi"

CREATE = """curl --location 'https://api.kod.mobi/session/create' \\
    --header 'x-api-key: <replace me>' \\
    --data '{
        "to": <replace me>,
        "type": "telegram",
        "send": true
    }'"""
SEND = """curl --location 'https://api.kod.mobi/session/send' \\
    --header 'x-api-key: <replace me>' \\
    --data '{
        "session_id": "<replace me>",
        "type": "telegram"
    }'"""
CHANNELS = """curl --location 'https://api.kod.mobi/session/channels?session_id=<replace me>' \\
  --header 'x-api-key: <replace me>'"""
LEGACY_CREATE = """curl --location --request GET \\
'https://api.kod.mobi/api/v2/message/create?phone=79522966236&type=telegram'"""
LEGACY_SEND = """curl --location --request GET \\
'https://api.kod.mobi/api/v2/message/send?session_id=&type=whatsapp' \\
--header 'Accept: application/json' \\
--header 'Content-Type: application/json'"""
LEGACY_CHECK = """curl --location --request GET \\
'https://api.kod.mobi/api/v2/message/check?session_id=&code=7032' \\
--header 'Accept: application/json' \\
--header 'Content-Type: application/json'"""
LEGACY_CHANNEL = """curl --location --request GET \\
'https://api.kod.mobi/api/v2/channel/check?session_id=&type=telegram'"""


@pytest.fixture(autouse=True)
def curl() -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is missing, so the published examples were NOT RUN: apt-get install curl")


def run(servers: Servers, example: str, *extra: str) -> Any:
    """What the example prints, decoded."""
    command = shlex.split(example.replace(HOST, servers.web).replace("\\\n", " "))
    ended = subprocess.run([*command, "--silent", *extra], capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


def keyed(example: str, key: str = "pk_development") -> str:
    return example.replace("x-api-key: <replace me>", f"x-api-key: {key}")


def test_session_create(servers: Servers) -> None:
    body = run(servers, keyed(CREATE).replace("<replace me>", f'"{new_phone()}"'))
    assert set(body) == {"session_id", "session_expired_at", "sent_to", "channels"}
    assert body["sent_to"] == "telegram"
    assert all(set(channel) == CHANNEL for channel in body["channels"])


def test_session_send(servers: Servers) -> None:
    session_id = servers.create(new_phone(), send=False)["session_id"]
    body = run(servers, keyed(SEND).replace("<replace me>", session_id))
    assert set(body) == {"session_id", "session_expired_at", "channel"}
    assert (body["channel"]["is_active"], body["channel"]["timeout"]) == (False, 60)


@pytest.mark.parametrize("known", [True, False])
def test_session_channels(servers: Servers, known: bool) -> None:
    session_id = servers.create(new_phone(), send=False)["session_id"] if known else ""
    body = run(servers, keyed(CHANNELS).replace("<replace me>", session_id))
    assert [set(channel) for channel in body] == [CHANNEL] * (4 if known else 5)


def test_the_client_api_of_version_2(servers: Servers) -> None:
    key = ("--header", "x-api-key: pk_development")
    created = run(servers, LEGACY_CREATE.replace("79522966236", new_phone()[1:]), *key)["data"]
    assert created["sent_to"] == "telegram"
    session = f"session_id={created['session_id']}"
    sent = run(servers, LEGACY_SEND.replace("session_id=", session), *key)["data"]
    assert sent["client_channel"]["type"] == "whatsapp"
    channel = run(servers, LEGACY_CHANNEL.replace("session_id=", session), *key)["data"]
    assert set(channel) == CHANNEL
    refused = run(servers, LEGACY_CHECK.replace("session_id=", session), *key)
    assert refused.get("sys_message", "ERROR_MESSAGE_WRONG_CODE") == "ERROR_MESSAGE_WRONG_CODE"
