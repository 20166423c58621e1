import subprocess
import sys

from tests.servers import ROOT


def test_the_bench_runs_and_prints_every_figure() -> None:
    """A smoke run: that it measures, never how much."""
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [line.split()[:2] for line in ended.stdout.splitlines() if line[6:].startswith(("off", "webhook"))]
    assert rows == [[count, mode] for mode in ("off", "webhook") for count in ("1", "16", "64")]
    for part in (
        "peak memory: web",
        "Where the time goes",
        "The floor",
        "sending off",
        "contact to live event",
        "100 open widgets",
        "check to live event among them, 20 logins",
        "at 200 logins",
    ):
        assert part in ended.stdout
