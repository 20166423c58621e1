"""Known vulnerabilities of what is locked: by pip-audit where it can ask, else by a list.

`python -m tests.audit` (`make audit`) exits with 2 where only the list could be asked: nothing of today is known.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

from gateway.settings import ROOT

LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
LIST = Path(__file__).with_name("advisories.txt")
PATIENCE = 60  # seconds; without a network each of its questions takes its time


class Advisory(NamedTuple):
    """A package's version before `fixed` has the vulnerability of that name."""

    package: str
    fixed: str
    name: str


class Audit(NamedTuple):
    """What was found, and how it was looked for; `today`: against what is known now."""

    vulnerable: list[str]
    today: bool
    how: str


def audit() -> Audit:
    """By pip-audit if it can ask for every package, by the list alone otherwise."""
    listed = [f"{one.package}: {one.name}, fixed in {one.fixed}" for one in below(locked(), advisories())]
    asked, why_not = _ask_pip_audit()
    if asked is None:
        how = f"the {len(advisories())} advisories of {LIST.name} ALONE, which know nothing of today ({why_not})"
        return Audit(listed, False, how)
    return Audit(listed + asked, True, f"pip-audit, {len(locked())} packages, and {LIST.name}")


def locked() -> dict[str, str]:
    """Every locked package and its version."""
    pinned = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^\s;\\]+)", re.MULTILINE)
    return {name.lower(): version for lock in LOCKS for name, version in pinned.findall(lock.read_text("utf-8"))}


def advisories() -> list[Advisory]:
    """Those of the list."""
    lines = LIST.read_text("utf-8").splitlines()
    return [Advisory(*line.split()) for line in lines if line and not line.startswith("#")]


def below(packages: dict[str, str], known: list[Advisory]) -> list[Advisory]:
    """The advisories that these versions are older than."""
    return [
        one for one in known if one.package in packages and Version(packages[one.package]) < Version(one.fixed)
    ]


def read_report(report: str) -> list[str] | None:
    """What pip-audit's JSON says; None where it could not ask for some package, which it passes over quietly."""
    try:
        dependencies = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    if not dependencies or any("skip_reason" in one for one in dependencies):
        return None
    return [f"{one['name']} {one['version']}: {found['id']}" for one in dependencies for found in one["vulns"]]


def _ask_pip_audit() -> tuple[list[str] | None, str]:
    """What it found, or None and why it could not be asked."""
    beside = Path(sys.executable).with_name("pip-audit")
    program = str(beside) if beside.exists() else shutil.which("pip-audit")
    if program is None:
        return None, "pip-audit is not installed: pipx install pip-audit"
    found: list[str] = []
    for lock in LOCKS:
        command = [program, "--format=json", "--progress-spinner=off", "--require-hashes", "--disable-pip"]
        try:
            ended = subprocess.run(
                [*command, f"--requirement={lock}"], capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            return None, f"pip-audit said nothing in {PATIENCE} s"
        told = read_report(ended.stdout)
        if told is None:
            return None, "pip-audit can't reach its data"
        found += told
    return found, ""


def main() -> int:
    """1 where something is vulnerable, 2 where nothing of today was checked."""
    done = audit()
    for one in done.vulnerable:
        sys.stdout.write(f"VULNERABLE {one}\n")
    sys.stdout.write(f"Looked for by {done.how}: {len(done.vulnerable)} found.\n")
    if done.vulnerable:
        return 1
    return 0 if done.today else 2


if __name__ == "__main__":
    sys.exit(main())
