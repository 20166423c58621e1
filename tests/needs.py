"""What the tests need of the machine. Installs it where that is allowed, else names the command."""

import os
import shutil
import subprocess
import sys

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = {
    "curl": "curl",  # the examples of the documentation, and the published ones
    "php": "php-cli",  # what the sites of examples/ run on
    "node": "nodejs",
    "npm": "npm",
    "nginx": "nginx",  # what deploy/ has samples for
    "pgbouncer": "pgbouncer",
    "systemd-analyze": "systemd",
    "ip": "iproute2",  # to break a network of our own
    "nft": "nftables",
}
FOR_ROOT = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin"))  # servers are there, not on everybody's PATH


def find(program: str) -> str | None:
    """A program's path."""
    return shutil.which(program) or shutil.which(program, path=FOR_ROOT)


def find_chromium() -> str | None:
    """The browser's path: the environment's CHROMIUM, or the first one on the PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in CHROMIUM if (path := shutil.which(name))), None)


def missing() -> list[str]:
    """Debian's packages with the programs that this machine lacks."""
    lacking = [package for program, package in PACKAGES.items() if not find(program)]
    return lacking if find_chromium() else ["chromium", *lacking]


def main() -> int:
    """0 where the tests can run (some of them skipped, loudly), 1 where CI lacks something."""
    may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    if may_install and (packages := missing()):
        sys.stdout.write(f"The tests need {', '.join(packages)}: installing Debian's packages.\n")
        subprocess.run(["apt-get", "update", "--quiet=2"], check=False)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*_command(packages), "--quiet=2"], check=False, env=environment)
    if packages := missing():
        sys.stdout.write(f"Some tests need more of this machine: sudo {' '.join(_command(packages))}\n")
        return 1 if os.environ.get("CI") == "true" else 0
    return 0


def _command(packages: list[str]) -> list[str]:
    return ["apt-get", "install", "--yes", "--no-install-recommends", *packages]


if __name__ == "__main__":
    sys.exit(main())
