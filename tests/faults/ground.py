"""A ground of our own, namespaces: networks can be cut and disks filled there for nobody else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.needs import find

_INSIDE = "KODGATE_FAULTS_GROUND"  # set to the ways of leaving our own ground that we have, for the process inside
DISK_MIB = 64
_LOOPBACK = ("link", "set", "lo", "up")
_RULES = "add table inet faults; add chain inet faults cut {{ type filter hook output priority 0; }}; {rules}"


def enter(*, as_oneself: bool = False) -> None:
    """Begin again in namespaces of our own, where that is permitted; else stay, with less to break.

    Who is not root becomes root of a user namespace, unless they must stay `as_oneself`.
    """
    if _INSIDE in os.environ:
        if os.environ[_INSIDE]:
            subprocess.run([find("ip") or "ip", *_LOOPBACK], check=True)
        return
    ways = ["--net", "--mount"]
    if os.geteuid():
        ways += ["--user", "--map-root-user"]
    ip = find("ip")
    possible = not (as_oneself and os.geteuid()) and ip and _runs(["unshare", *ways, ip, *_LOOPBACK])
    os.environ[_INSIDE] = "namespaces" if possible else ""
    if possible:
        command = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", *ways, "--", *command])  # noqa: S606


def has_disk() -> bool:
    """Whether we may mount a disk of our own."""
    return bool(os.environ.get(_INSIDE))


def has_network() -> bool:
    """Whether we may cut our own network."""
    return bool(os.environ.get(_INSIDE)) and find("nft") is not None


def mount_disk(folder: Path) -> None:
    """A small disk of our own;"""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=777", "faults", folder], check=True)


def unmount_disk(folder: Path) -> None:
    """Whoever still works on it keeps it until they end."""
    subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No byte is left on the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def cut(*ports: int) -> Iterator[None]:
    """Nothing goes to or comes from these ports any more; nobody is told."""
    numbers = ", ".join(map(str, ports))
    rules = "; ".join(f"add rule inet faults cut tcp {end} {{ {numbers} }} drop" for end in ("dport", "sport"))
    _nft(_RULES.format(rules=rules))
    try:
        yield
    finally:
        _nft("delete table inet faults")


def _nft(rules: str) -> None:
    subprocess.run([find("nft") or "nft", rules], check=True)


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
