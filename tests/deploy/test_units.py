"""The systemd units: understood by systemd, closed as tightly as Kodgate bears, and their commands exist."""

import re
import subprocess
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.needs import find
from tests.servers import ROOT

FOLDER = ROOT / "deploy" / "systemd"
PROGRAM = "/opt/kodgate/.venv/bin/kodgate"
MOST_EXPOSED = 15  # of 100, by systemd's own count; a unit that says nothing has 96
UNITS = pytest.mark.parametrize("unit", sorted(path.name for path in FOLDER.glob("*.service")))


@pytest.fixture
def analyze(tmp_path: Path, unit: str) -> list[str]:
    """`systemd-analyze` beside the unit as it stands, but for where Kodgate is installed."""
    program = find("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is missing, so the units WERE NOT TRIED: apt-get install systemd")
    here = str(ROOT / ".venv" / "bin" / "kodgate")
    (tmp_path / unit).write_text((FOLDER / unit).read_text("utf-8").replace(PROGRAM, here), "utf-8")
    return [program]


def instance(folder: Path, unit: str) -> str:
    return str(folder / unit.replace("@", "@8000"))


@UNITS
def test_systemd_understands_it(tmp_path: Path, analyze: list[str], unit: str) -> None:
    command = [*analyze, "verify", "--man=no", instance(tmp_path, unit)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in ended.stderr.splitlines() if "kodgate" in line]
    assert ours == []


@UNITS
def test_it_is_closed_tightly(tmp_path: Path, analyze: list[str], unit: str) -> None:
    command = [*analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", instance(tmp_path, unit)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@UNITS
def test_its_commands_and_settings_exist(unit: str) -> None:
    text = (FOLDER / unit).read_text("utf-8")
    process = unit.removeprefix("kodgate-").partition("@")[0]
    commands = re.findall(r"^ExecStart\w*=-?(.*)", text, re.MULTILINE)
    assert commands == [f"{PROGRAM} {process}", f"{PROGRAM} health {process} --wait 60"]
    for name in re.findall(r"^Environment=(\w+)=%i$", text, re.MULTILINE):
        assert name.lower() in Settings.model_fields


@UNITS
def test_it_may_read_when_the_machine_booted(unit: str) -> None:
    """Else sessions from before a power loss would not be void; /proc/stat tells."""
    assert not re.search(r"^ProcSubset=pid", (FOLDER / unit).read_text("utf-8"), re.MULTILINE)
