import subprocess
import sys

import pytest

from bench import document, figures
from bench.budgets import verdicts
from bench.figures import Figures
from tests.servers import ROOT


@pytest.mark.timeout(400)  # it starts web and bot five times
def test_the_bench_runs_and_prints_every_section() -> None:
    """A smoke run: that it measures, never how much."""
    command = [sys.executable, "-m", "bench", "--quick", "--store", "sqlite"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    sections = [line.split()[1].rstrip(",") for line in ended.stdout.splitlines() if line.startswith("## ")]
    assert sections == list(figures.SECTIONS)
    rows = [line.split("|")[1:3] for line in ended.stdout.splitlines() if line.count("|") == 11]
    measured = [[count.strip(), mode.strip()] for count, mode in rows[2:]]
    assert measured == [[count, mode] for mode in ("off", "webhook") for count in ("1", "16", "64")]
    for part in (
        "The floor is",
        "Peak memory",
        "80 logins in",
        " 0 errors",
        "contact in the bot to the stream",
        "check to event",
        "KiB a live session, of 200",
        "from exec to the first 200 of /healthz",
        "bytes a row",
        "| `activation` | 1,000 |",
        "`web.api.Api._answer`",
        "create + check, sending off",
        "activation to browser",
    ):
        assert part in ended.stdout


@pytest.mark.timeout(200)
def test_the_bench_measures_on_postgresql_with_its_servers_time() -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--store", "postgres", "--only", "growth"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    [row] = [line for line in ended.stdout.splitlines() if line.startswith("| 1,000 |")]
    assert ", postgres " in row
    assert "| `activation` | 1,000 |" in ended.stdout


def test_the_document_is_the_template_with_the_figures_that_were_recorded() -> None:
    assert document.DOCUMENT.read_text(encoding="utf-8") == document.render(figures.load()), (
        "python -m bench --render writes it"
    )


def test_what_is_not_measured_is_said_to_be_so() -> None:
    text = document.render(Figures())
    assert text.count("SQLite: not measured.") == text.count("PostgreSQL: not measured.") == len(figures.SECTIONS)
    assert verdicts(Figures()) == []


def test_a_budget_that_is_exceeded_is_called_so() -> None:
    quick = figures.Spread(1, 1.0, 1.0, 1.0, 1.0)
    taken = figures.Taken("2026-01-01", "a machine", 2, 24, "3.11", "SQLite", 0.0)
    rows = [figures.LoginRow(16, sent, {"web": 0.2, "bot": 0.09}, 1, quick, quick, None) for sent in (False, True)]
    logins = figures.Logins(taken, 0.03, {"sql": 0.04}, rows, [], {})
    found = [
        (one.budget, one.measured, one.floors, one.met) for one in verdicts(Figures(logins={"sqlite": logins}))
    ]
    assert found == [
        ("0.25", "0.290", "2.9", False),
        ("0.45", "0.290", "2.9", True),
    ]
