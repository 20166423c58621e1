"""Style, types and the direction of imports are part of the tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

CHECKS = {
    "ruff": ["ruff", "check"],
    "format": ["ruff", "format", "--check"],
    "types": ["mypy"],
    "imports": ["lint-imports"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_is_clean(check: str) -> None:
    program, *options = CHECKS[check]
    command = [str(Path(sys.executable).with_name(program)), *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_web_never_loads_the_bots_libraries() -> None:
    """aiogram alone costs a second and 40 MiB, by itself five and 140."""
    code = "import sys, web.wsgi; print([name for name in ('aiogram', 'aiohttp', 'bot') if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
