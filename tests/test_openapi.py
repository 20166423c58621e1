"""The API's description: complete, and true against thousands of requests made by it and against it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from gateway.settings import ROOT
from tests.figures import Figure
from tests.servers import Servers
from web.openapi import OPERATIONS, endpoints

SEED = os.environ.get("KODGATE_SEED", "2026")  # another one looks elsewhere
EXAMPLES = os.environ.get("KODGATE_EXAMPLES", "20")
HERE = Path(__file__).parent / "schemathesis"


def test_schemathesis_finds_nothing(servers: Servers, tmp_path: Path, figure: Figure) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{servers.web}/openapi.json", "--header", "x-api-key: sk_development"),
            *("--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure"),
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.schemathesis.hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tested = re.search(r"Tested: (\d+)", ended.stdout)
    generated = re.search(r"(\d+) generated", ended.stdout)
    assert tested
    assert generated
    assert int(tested[1]) == len(list(endpoints()))
    assert int(generated[1]) > 2000
    figure(f"schemathesis: {generated[1]} cases on {tested[1]} operations, 0 failures, seed {SEED}")


def test_every_verb_is_described() -> None:
    from web.api import VERBS

    served = {verb for verbs in VERBS.values() for verb in verbs.values()}
    assert served == set(OPERATIONS)


def test_the_description_names_this_server(servers: Servers) -> None:
    answer = servers.http.get(f"{servers.web}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": servers.web}]
    assert document["paths"]["/session/create"]["post"]["security"] == [{"publicKey": []}]
    assert document["paths"]["/manual/send"]["post"]["security"] == [{"secretKey": []}]
