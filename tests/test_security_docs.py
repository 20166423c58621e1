"""docs/security.md names tests that exist, and none of its rows claims more than it shows."""

import re

from gateway.settings import ROOT, Settings

TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")


def threats() -> list[list[str]]:
    chapter = TEXT.partition("## Threats")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in chapter.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    written = "".join(file.read_text("utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 30
    assert named - set(re.findall(r"^def (test_\w+)\(", written, re.MULTILINE)) == set()


def test_every_threat_is_shown_or_said_to_be_open() -> None:
    assert len(threats()) > 20
    for threat in threats():
        assert len(threat) == 4, threat
        assert "`test_" in threat[3] or "**not yet**" in threat[2] or "**partly**" in threat[2], threat[0]


def test_every_setting_that_is_named_exists() -> None:
    known = {name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", TEXT))
    assert named - known == set()
