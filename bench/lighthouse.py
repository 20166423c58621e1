"""Lighthouse on the widget's pages, as on a phone: the scores, and what costs points. Needs npm and Chromium.

`make lighthouse` runs it. Lighthouse goes into build/, which git ignores, at the first use.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from bench.processes import ROOT, Processes, free_ports

VERSION = "13.5.0"
FOLDER = ROOT / "build" / "lighthouse"
LEAST = 98
CATEGORIES = ("performance", "accessibility", "best-practices")
CHROME_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
)
WITHIN = 180.0


def main() -> None:
    """Print the scores; code 1 where one is too low."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium or not shutil.which("npm"):
        raise SystemExit("make lighthouse needs Chromium and npm: apt-get install chromium npm")
    lighthouse = _installed()
    low = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, live_port, sandbox_port = free_ports(3)
        web = f"http://localhost:{port}"
        environment = {
            "PORT": str(port),
            "LIVE_PORT": str(live_port),
            "SANDBOX_PORT": str(sandbox_port),
            "DATABASE_URL": f"sqlite:///{folder}/lighthouse.sqlite3",
            "SANDBOX_STATE": str(folder / "sandbox.json"),
            "PUBLIC_URL": web,
            "LIVE_URL": f"http://localhost:{live_port}",
        }
        with Processes(folder, environment) as processes:
            for process, its_port in (("sandbox", sandbox_port), ("web", port), ("bot", live_port)):
                processes.start(process, ["-m", process], f"http://127.0.0.1:{its_port}/healthz")
            for page, address in _pages(web).items():
                scores, costs = _scores(lighthouse, chromium, address)
                print(f"{page:<14}" + "  ".join(f"{name} {score}" for name, score in scores.items()))
                for cost in costs:
                    print(f"    {cost}")
                low += [page for score in scores.values() if score < LEAST]
    if low:
        raise SystemExit(f"below {LEAST}: {', '.join(sorted(set(low)))}")


def _installed() -> Path:
    program = FOLDER / "node_modules" / "lighthouse" / "cli" / "index.js"
    known = program.parent.parent / "package.json"
    if not known.exists() or json.loads(known.read_text())["version"] != VERSION:
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", f"lighthouse@{VERSION}"]
        subprocess.run(command, check=True)
    return program


def _pages(web: str) -> dict[str, str]:
    """The entry page, the code page of a session of its own, and the channel-first flow's first page."""
    entry = f"{web}/widget/?{urlencode({'key': 'pk_development'})}"
    with httpx.Client(follow_redirects=True) as http:
        token = http.get(entry).text.partition('name="w" value="')[2].partition('"')[0]
        code = http.post(f"{web}/widget/start", data={"w": token, "to": "+79522966236", "by": "phone"})
        code.raise_for_status()
    return {"entry": entry, "code": str(code.url), "channel-first": f"{entry}&flow=channel-first"}


def _scores(lighthouse: Path, chromium: str, address: str) -> tuple[dict[str, int], list[str]]:
    """Each category's score, 0 to 100, and what cost points."""
    command = [
        *("node", str(lighthouse), address, "--quiet", "--output=json", "--output-path=stdout"),
        *(f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={CHROME_FLAGS}"),
    ]
    environment = {**os.environ, "CHROME_PATH": chromium, "CI": "1"}
    ended = subprocess.run(command, stdout=subprocess.PIPE, env=environment, timeout=WITHIN, check=False)
    if ended.returncode:
        sys.exit("Lighthouse failed, see above")
    report: dict[str, Any] = json.loads(ended.stdout)
    audits = report["audits"]
    costs = [
        f"{audits[one['id']]['title']}: {audits[one['id']].get('displayValue', '')}"
        for name in CATEGORIES
        for one in report["categories"][name]["auditRefs"]
        if one["weight"] and (audits[one["id"]]["score"] or 0) < 1 and audits[one["id"]]["score"] is not None
    ]
    return {name: round((report["categories"][name]["score"] or 0) * 100) for name in CATEGORIES}, costs


if __name__ == "__main__":
    main()
