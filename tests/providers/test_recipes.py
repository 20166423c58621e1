"""The senders in docs/providers.md, run as they stand there and sent to by the provider itself."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bench.processes import free_ports
from gateway.channels import Channel
from gateway.providers import PermanentError, Receipt, make_provider
from tests.providers.contract import MESSAGE, options, run_with
from tests.servers import ROOT, until

LANGUAGES = {
    "python": ("sender.py", [sys.executable, "sender.py"]),
    "javascript": ("sender.mjs", ["node", "sender.mjs"]),
}
if shutil.which("php"):  # which nothing else here needs
    LANGUAGES["php"] = ("index.php", ["php", "-S", "127.0.0.1:8080"])


@contextmanager
def sender(language: str, folder: Path) -> Iterator[str]:
    """The address of the language's sender, whose output goes to a file there."""
    name, command = LANGUAGES[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is missing, so its sender was NOT RUN: apt-get install {command[0]}")
    [port] = free_ports(1)
    text = (ROOT / "docs" / "providers.md").read_text("utf-8")
    [code] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (folder / name).write_text(code.replace("8080", str(port)), "utf-8")
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [part.replace("8080", str(port)) for part in command], cwd=folder, stdout=output, stderr=output
        )
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: answers(address), f"the {language} sender starts")
            yield address
        finally:
            process.kill()
            process.wait()


def answers(address: str) -> bool:
    try:
        return httpx.post(address, content=b"{}", timeout=5).status_code == 403
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sender_takes_what_is_signed_and_nothing_else(language: str, tmp_path: Path) -> None:
    with sender(language, tmp_path) as address:
        ours = make_provider(f"webhook+{address}/#secret=KEY", Channel.SMS, options(timeout=10))
        assert run_with(ours, MESSAGE, MESSAGE) == [Receipt("sms-1")] * 2
        for key in ("#secret=another", ""):
            with pytest.raises(PermanentError, match="403"):
                run_with(make_provider(f"webhook+{address}/{key}", Channel.SMS, options()), MESSAGE)
        copy = {"x-kodgate-signature": "t=1,v1=" + "a" * 64}
        assert httpx.post(address, content=b"{}", headers=copy).status_code == 403
    if language != "php":
        said = (tmp_path / "output").read_text("utf-8")
        assert said.count(f"to {MESSAGE.to}") == 1, "a repeat was sent twice"


def test_the_table_of_the_examples_is_what_apprise_understands() -> None:
    text = (ROOT / "docs" / "providers.md").read_text("utf-8")
    values = {
        "ACCOUNT_SID": "AC" + "a" * 32,
        "AUTH_TOKEN": "b" * 32,
        "FROM_PHONE": "12025550100",
        "API_KEY": "a" * 25,
        "API_SECRET": "abcdefgh12345678",
        "AUTH_ID": "A" * 25,
        "TOKEN": "b" * 40,
        "ACCESS_KEY": "AHIAJGNT76XIMXDBIJYA",
        "SECRET_KEY": "bu1dHSdO22pfaaVy/wmNsdljF4C07D3bndi9PQJ9",
        "REGION": "us-east-2",
        "USER": "user",
        "PASSWORD": "password",
    }
    urls = re.findall(r"\| `(apprise\+[a-z]+://\S+)` \|", text)
    assert len(urls) == 6
    for url in urls:
        filled = re.sub("|".join(values), lambda name: values[name[0]], url)
        make_provider(filled, Channel.SMS, options())
