"""What the tests need of the machine: Chromium. Installs it where that is allowed, else names the command."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")
COMMAND = ("apt-get", "install", "--yes", "--no-install-recommends", "chromium")


def find_chromium() -> str | None:
    """The browser's path: the environment's CHROMIUM, or the first one on the PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


def main() -> int:
    """0 where the tests can run (some of them skipped, loudly), 1 where CI lacks something."""
    if find_chromium():
        return 0
    may_install = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    if may_install:
        sys.stdout.write("The browser tests need Chromium: installing Debian's package.\n")
        subprocess.run(["apt-get", "update", "--quiet=2"], check=False)
        subprocess.run(
            [*COMMAND, "--quiet=2"], check=False, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        )
    if find_chromium():
        return 0
    sys.stdout.write(f"The browser tests need Chromium: sudo {' '.join(COMMAND)}\n")
    return 1 if os.environ.get("CI") == "true" else 0


if __name__ == "__main__":
    sys.exit(main())
