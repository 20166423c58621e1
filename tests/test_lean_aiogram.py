"""aiogram's types are made when they are needed, and can all be."""

import json
import subprocess
import sys

import pytest

from tests.servers import ROOT

_COMPLETE = """
import json, {module}
from aiogram.methods import SendMessage, SendPoll
from aiogram.types import Poll, Update
print(json.dumps([one.__pydantic_complete__ for one in (Update, SendMessage, Poll, SendPoll)]))
"""
_ALL = """
import json
from gateway.lean_aiogram import make
from aiogram import methods, types
from pydantic import BaseModel

kinds = [getattr(where, name) for where in (types, methods) for name in where.__all__]
models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
before = sum(model.__pydantic_complete__ for model in models)
person = {"id": 5, "is_bot": False, "first_name": "P"}
vote = {"poll_id": "1", "user": person, "option_ids": [0], "option_persistent_ids": ["0"]}
update = types.Update.model_validate({"update_id": 1, "poll_answer": vote})
make(*models)
unfinished = [str(one) for one in models if not one.__pydantic_complete__]
print(json.dumps([update.poll_answer.user.first_name, before, unfinished]))
"""


def said_by(code: str) -> list[object]:
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    said: list[object] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize("module", ["bot.app", "bot.worker"])
def test_a_process_makes_what_a_login_needs_and_no_more(module: str) -> None:
    assert said_by(_COMPLETE.format(module=module)) == [True, True, False, False]


def test_whatever_else_telegram_sends_is_read_and_every_type_can_be_made() -> None:
    name, before, unfinished = said_by(_ALL)
    assert name == "P"
    assert isinstance(before, int)
    assert before < 20
    assert unfinished == []
