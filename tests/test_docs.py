"""The API page: complete, and every example on it that this machine can run, run against the running servers."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.aes256 import code_key, decode_code
from gateway.errors import GatewayError
from gateway.signing import sign
from tests.servers import SECRET, Servers
from tests.world import new_phone
from web.examples import LANGUAGES, Example, write
from web.openapi import OPERATIONS, endpoints
from web.reference import Section, chapters, meanings, snippet
from web.samples import CODE, CODE_SECRET, PHONE, SESSION_ID, answers

SECTIONS = [section.title for chapter in chapters("", "curl") for section in chapter.sections]
OWN_CODE = {
    "curl": "curl ",
    "python": "urlopen",
    "javascript": "await fetch(",
    "php": "<?php",
    "go": "package main",
}
MAY_BE_NULL = {"finished_at"}  # until it has
PRINT_ALL = "console.log = (answer) => process.stdout.write(JSON.stringify(answer));"  # not just two levels deep


def page(servers: Servers, query: str = "") -> str:
    answer = servers.http.get(f"{servers.web}/docs{query}")
    assert answer.status_code == 200
    return answer.text.replace("<wbr>", "")


def section_of(servers: Servers, language: str, title: str) -> Section:
    return next(
        one for chapter in chapters(servers.web, language) for one in chapter.sections if one.title == title
    )


# What is on the page


def test_every_endpoint_and_every_refusal_is_on_the_page(servers: Servers) -> None:
    text = page(servers)
    for endpoint in endpoints():
        assert re.search(rf"[ >]{re.escape(endpoint.path)}</code>", text), endpoint.path
        assert endpoint.operation.title in unescape(text)
    known = {meaning.refusal.sys_message for meaning in meanings()}
    assert {GatewayError.sys_message, "ERROR_PHONE_BLOCKED", "ERROR_PROJECT_HAS_NO_CHANNEL"} < known
    contract = {"ERROR_BLOCKED", "ERROR_CHALLENGE", "ERROR_CHANNEL_NOT_ALLOWED_COUNTRY", "ERROR_WRONG_BALANCE"}
    for name in known | contract:
        assert f"<code>{name}</code>" in text, name


def test_each_operation_stands_once_with_an_answer() -> None:
    every = {operation.title for operation in OPERATIONS.values()} | {"Ask how a message went"}
    assert sorted(SECTIONS) == sorted(every) == sorted(answers(""))


def test_every_link_within_the_page_leads_somewhere(servers: Servers) -> None:
    text = page(servers)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="(?:\?code=\w+)?#([^"]+)"', text)) <= set(ids)
    assert len(re.findall(r"<h[1-4]\b", text)) == len(re.findall(r'<h[1-4] id="', text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_of_the_examples_is_chosen_by_a_link(servers: Servers, language: str) -> None:
    text = page(servers, f"?code={language}")
    assert set(re.findall(r'\?code=(\w+)#\S+ aria-current="true"', text)) == {language}
    assert OWN_CODE[language] in unescape(text)
    assert set(re.findall(r'\?code=(\w+)#code"', text)) == set(LANGUAGES)


def test_an_unknown_language_is_curl(servers: Servers) -> None:
    main = [page(servers, query).partition("<main")[2] for query in ("", "?code=curl", "?code=cobol")]
    assert main[0] == main[1] == main[2]


def test_it_is_english_under_a_header_of_the_visitors_language(servers: Servers) -> None:
    text = page(servers, "?lang=ru")
    assert '<html lang="ru" dir="ltr">' in text
    assert '<main class="page" lang="en" dir="ltr">' in text


def test_the_home_page_leads_there(servers: Servers) -> None:
    home = servers.http.get(f"{servers.web}/", headers={"accept-language": "ru"}).text
    assert '<a href="/docs">API для разработчиков</a>' in home


def test_nothing_comes_from_elsewhere_and_no_script_runs(servers: Servers) -> None:
    text = page(servers)
    assert "<script" not in text
    assert not re.search(r'(?:src|<link[^>]* href)="https?:', text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_examples_name_this_server_and_the_key_to_put_in(servers: Servers, language: str) -> None:
    for title in SECTIONS:
        section = section_of(servers, language, title)
        assert servers.web + section.path.replace("{message_id}", "1") in section.code
        assert ("x-api-key" in section.code, "<secret key>" in section.code) == (True, section.secret)
        assert section.code in unescape(page(servers, f"?code={language}"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_that_the_language_would_take_for_its_own_is_quoted(language: str) -> None:
    code = write(language, Example("POST", "https://a.example/b", "k", {"to": 'it\'s $x `y` \\ "z" я'}))
    wanted = {
        "curl": r"""it'"'"'s $x `y` \\ \"z\" я""",
        "python": r'''"it's $x `y` \\ \"z\" я"''',
        "javascript": r'''"it's $x `y` \\ \"z\" я"''',
        "php": r"""'it\'s $x `y` \\ "z" я'""",
        "go": r'''"it's $x \u0060y\u0060 \\ \"z\" я"''',
    }
    assert wanted[language] in code


# Every example, run


def need(program: str) -> str:
    if not shutil.which(program):
        pytest.skip(f"{program} is missing, so its examples were NOT RUN: apt-get install {program}")
    return program


def by_curl(code: str, folder: Path) -> Any:
    assert need("curl")
    ended = run(["sh", "-c", code + " --silent --write-out '\\n%{http_code}'"], folder)
    body, _, status = ended.rpartition("\n")
    assert status == "200", ended
    return json.loads(body)


def by_python(code: str, folder: Path) -> Any:
    return ast.literal_eval(run([sys.executable, "-I", "-c", code], folder))


def by_node(code: str, folder: Path) -> Any:
    (folder / "print.cjs").write_text(PRINT_ALL)
    (folder / "example.mjs").write_text(code)
    return json.loads(run([need("node"), "--require", "./print.cjs", "example.mjs"], folder))


def run(command: list[str], folder: Path, env: dict[str, str] | None = None) -> str:
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


RUNNERS: dict[str, Callable[[str, Path], Any]] = {"curl": by_curl, "python": by_python, "javascript": by_node}


@pytest.mark.parametrize("title", SECTIONS)
@pytest.mark.parametrize("language", RUNNERS)
def test_the_example_runs_and_is_answered_as_shown(
    servers: Servers, tmp_path: Path, language: str, title: str
) -> None:
    section = section_of(servers, language, title)
    answer = RUNNERS[language](filled_in(section, servers), tmp_path)
    assert shape(answer) == shape(json.loads(section.answer))


def filled_in(section: Section, servers: Servers) -> str:
    """The example with keys, a contact nobody used, and a session, code, token or message that exist."""
    code: str = section.code.replace("<public key>", "pk_development").replace("<secret key>", "sk_development")
    phone = new_phone()
    if "legacy" in section.title:
        created = servers.create(phone, send=False)["session_id"]
    else:
        created = servers.create(phone, "sms")["session_id"]
    if "<verify_token>" in code:
        token = servers.check(created, servers.code_of(created)).json()["verify_token"]
        code = code.replace("<verify_token>", token)
    if section.path.startswith("/manual/messages/"):
        sent = servers.http.post(
            f"{servers.web}/manual/send", json={"to": phone, "channel": "sms"}, headers=SECRET
        ).json()
        code = code.replace("/messages/1", f"/messages/{sent['message_id']}")
    right = servers.code_of(created)
    for example in ('"code": "703219"', 'code: "703219"', '"code": "7032"'):
        code = code.replace(example, re.sub(r"\d+", right, example))
    return (
        code.replace("code=7032", f"code={right}").replace(SESSION_ID, created).replace(PHONE[1:], new_phone()[1:])
    )


def shape(answer: Any) -> Any:
    """Names and types, without the values; what may be null is as good as what it else is."""
    if isinstance(answer, dict):
        return {name: shape(value) for name, value in answer.items() if name not in MAY_BE_NULL}
    if isinstance(answer, list):
        return [shape(answer[0])]
    return type(answer).__name__


# What is there to copy


def decoded(language: str, folder: Path, secret: str = CODE_SECRET) -> str:
    code = snippet("decode", language)
    if language == "curl":
        need("openssl")
        return run(
            [need("bash"), "-c", code],
            folder,
            env={"PATH": os.environ["PATH"], "text": CODE, "secret": secret},
        )
    if language == "python":
        return run([sys.executable, "-c", f"{code}\nprint(decode({CODE!r}, {secret!r}), end='')"], folder)
    (folder / "decode.mjs").write_text(f"{code}\nprocess.stdout.write(decode('{CODE}', '{secret}'));")
    return run([need("node"), "decode.mjs"], folder)


@pytest.mark.parametrize("language", RUNNERS)
def test_the_decoder_decodes_the_answer_that_is_shown(tmp_path: Path, language: str) -> None:
    assert decode_code(CODE, code_key(CODE_SECRET)) == "0000"
    assert decoded(language, tmp_path) == "0000"


def test_ids_and_times_are_shown_where_they_belong() -> None:
    for title, shown in answers("http://x.io").items():
        if isinstance(shown, msgspec.Struct):
            assert msgspec.json.decode(msgspec.json.encode(shown), type=type(shown)) == shown, title


@pytest.mark.parametrize("language", RUNNERS)
def test_the_decoder_refuses_another_key(tmp_path: Path, language: str) -> None:
    with pytest.raises(AssertionError, match="changed, or another key"):
        decoded(language, tmp_path, "sk_another")


@pytest.mark.parametrize(("age", "secret", "ours"), [(0, "sk_a", True), (0, "sk_b", False), (400, "sk_a", False)])
@pytest.mark.parametrize("language", RUNNERS)
def test_the_signatures_check_knows_our_callbacks(
    tmp_path: Path, language: str, age: int, secret: str, ours: bool
) -> None:
    body = '{"message_id":1,"to":"я"}'
    header = sign(body.encode(), code_key("sk_a"), int(time.time()) - age)
    code = snippet("signature", language)
    if language == "curl":
        need("openssl")
        values = {"PATH": os.environ["PATH"], "header": header, "body": body, "secret": secret}
        said = run([need("bash"), "-c", code + " || true"], tmp_path, env=values)
        assert ("ours" in said) is ours
    elif language == "python":
        call = f"print(is_ours({header!r}, {body.encode()!r}, {secret!r}))"
        assert run([sys.executable, "-c", f"{code}\n{call}"], tmp_path) == f"{ours}\n"
    else:
        (tmp_path / "check.mjs").write_text(f"{code}\nconsole.log(isOurs('{header}', '{body}', '{secret}'));")
        assert run([need("node"), "check.mjs"], tmp_path) == f"{str(ours).lower()}\n"
