"""The example sites as a developer starts them: by the one command of their README."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import httpx

from bench.processes import free_ports
from tests.servers import until

from .stack import ROOT, STOP_WITHIN

EXAMPLES = ROOT / "examples"
TOOLS = {"flask": ("python3",), "django": ("python3",), "express": ("node", "npm"), "php": ("php",)}
START_WITHIN = 100.0  # s: a first start installs packages, four sites at once on two cores
HOST = "partner.localhost"
_PASSED = ("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
_PASSED_GROUPS = ("PIP_", "NPM_CONFIG_", "npm_config_")
_NO_INDEX = (
    "No matching distribution",
    "Could not find a version",
    "NewConnectionError",
    "ENOTFOUND",
    "ENOTCACHED",
)


class NotInstalled(Exception):
    """No package index in reach; the text is what the site's command said."""


class Site:
    """One of them, on a port and a host name of its own."""

    def __init__(self, name: str, kodgate: str, folder: Path, **settings: str) -> None:
        [port] = free_ports(1)
        self.name = name
        self.url = settings.get("SITE_URL") or f"http://{HOST}:{port}"
        self._address = f"http://127.0.0.1:{port}"
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        passed = {
            key: value for key, value in os.environ.items() if key in _PASSED or key.startswith(_PASSED_GROUPS)
        }
        self._environment = {
            **passed,
            "LANG": "C.UTF-8",
            "PORT": str(port),
            "KODGATE_URL": kodgate,
            "SITE_URL": self.url,
            **settings,
        }

    @property
    def missing(self) -> list[str]:
        """Programs that this machine lacks for it."""
        return [tool for tool in TOOLS[self.name] if not shutil.which(tool)]

    def begin(self) -> None:
        """Start it, without waiting."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["./run"],
                cwd=EXAMPLES / self.name,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers. Raises `NotInstalled`."""
        until(self._answers, f"{self.name} answers", START_WITHIN)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """What it answers to a plain request for its own host name."""
        host = self.url.partition("://")[2]
        return httpx.get(self._address + path, headers={"host": host, **headers}, timeout=15)

    def stop(self) -> None:
        """End it, and whatever its command may still be doing."""
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text("utf-8", "replace")

    def _answers(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            if any(sign in self.log for sign in _NO_INDEX):
                raise NotInstalled(self.log)
            raise AssertionError(f"{self.name} ended at its start:\n{self.log}")
        try:
            return self.get("/").status_code == 200
        except httpx.HTTPError:
            return False
