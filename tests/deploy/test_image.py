"""The Dockerfile without a container engine: its steps, taken in a folder instead of an image, make what runs."""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest

from bench.processes import free_ports
from gateway.settings import Settings
from tests.servers import ROOT, STOP_WITHIN, until

HOME = "/srv/kodgate"
DATA = "/var/lib/kodgate"
INSTALL = ".venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock"


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its arguments, written as JSON or as a shell has them."""
        if self.text.startswith("["):
            return re.findall(r'"([^"]*)"', self.text)
        return shlex.split(self.text)


def stages() -> list[list[Instruction]]:
    """The instructions, stage by stage; each begins with its FROM."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    found: list[list[Instruction]] = []
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, rest.strip()))
    return found


def of(stage: list[Instruction], name: str) -> list[Instruction]:
    return [one for one in stage if one.name == name]


BUILD, FINAL = stages()


@dataclass
class Image:
    """A folder that holds what the image would, with the paths of the machine instead."""

    root: Path
    environment: dict[str, str]

    def command(self, words: list[str]) -> list[str]:
        program = self.root / "srv/.venv/bin" / words[0]
        assert program.exists(), f"{words[0]} is not on the image's PATH"
        return [str(program), *words[1:]]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The steps of the first stage. Only the locked packages are not installed again, which takes a minute: the
    tests have them from the same file."""
    root = tmp_path_factory.mktemp("image")
    home = root / "srv"
    home.mkdir()
    for step in BUILD[1:]:
        if step.name == "COPY":
            *sources, target = step.words
            for source in sources:
                copy(source, home / target)
        if step.name == "RUN" and step.text == "python -m venv .venv":
            venv.create(home / ".venv", with_pip=False)
            borrow_packages(home / ".venv")
        elif step.name == "RUN" and step.text != INSTALL:
            shell(step.text, home)
    given = dict(pair.split("=", 1) for one in of(FINAL, "ENV") for pair in one.words)
    given = {name: value.replace(HOME, str(home)).replace(DATA, str(root)) for name, value in given.items()}
    return Image(root, given | {"PATH": given["PATH"].replace("$PATH", os.environ["PATH"])})


def copy(source: str, target: Path) -> None:
    assert is_sent(source), f".dockerignore leaves {source} out"
    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    else:
        shutil.copy(ROOT / source, target)


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last line that matches decides."""
    assert not (ROOT / ".containerignore").exists(), "podman would read that one instead"
    sent = True
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch.fnmatch(path, pattern.removeprefix("**/")):
            sent = line.startswith("!")
    return sent


def borrow_packages(target: Path) -> None:
    """What requirements.lock names, and pip, from where the tests run: linked, and no other package of theirs."""
    locked = re.findall(r"^([\w.-]+)[^=\n]*==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    [packages] = target.glob("lib/python*/site-packages")
    for name in (*locked, "pip"):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (packages / top).symlink_to(str(found.locate_file(top)))
    for program in ("pip", "pybabel"):
        text = Path(sys.executable).with_name(program).read_text("utf-8")
        script = target / "bin" / program
        script.write_text(re.sub("^#!.*", f"#!{target}/bin/python", text), "utf-8")
        script.chmod(0o755)


def shell(text: str, home: Path) -> None:
    ended = subprocess.run(["sh", "-ec", text], cwd=home, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@dataclass
class Container:
    image: Image
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def healthy(self) -> bool:
        """By the image's own health check."""
        if self.process:
            assert self.process.poll() is None, (self.image.root / "log").read_text("utf-8")
        [check] = of(FINAL, "HEALTHCHECK")
        _, _, words = check.text.partition("CMD ")
        command = self.image.command(Instruction("CMD", words).words)
        return (
            subprocess.run(command, env=self.environment, cwd=self.image.root / "srv", check=False).returncode == 0
        )


@pytest.fixture(params=["web", "bot", "worker"])
def container(request: pytest.FixtureRequest, image: Image) -> Iterator[Container]:
    """The image's own command, or the other process's, with the settings that production needs besides."""
    ports = dict(zip(("PORT", "LIVE_PORT", "WORKER_PORT"), map(str, free_ports(3)), strict=True))
    environment = {
        **image.environment,
        "HOST": "127.0.0.1",
        **ports,
        "PUBLIC_URL": "https://login.example.com",
        "SECRET_KEYS": "a-secret-of-thirty-two-characters-or-more",
        "PROJECT_COUNTRIES": "KZ",
        "PROJECT_PUBLIC_KEY": "pk_0123456789abcdef0123456789abcdef",
        "PROJECT_SECRET_KEY": "sk_0123456789abcdef0123456789abcdef",
    }
    [command] = [one.words for one in of(FINAL, "CMD")]
    assert command == ["kodgate", "web"]
    with (image.root / "log").open("wb") as log:
        process = subprocess.Popen(
            image.command(["kodgate", request.param]),
            cwd=image.root / "srv",
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Container(image, environment, process)
    finally:
        process.terminate()
        process.wait(STOP_WITHIN)


def test_what_the_image_holds_runs_and_its_health_check_tells(container: Container) -> None:
    until(container.healthy, "the health check is content", 60)
    assert (container.image.root / "kodgate.sqlite3").exists(), "in the volume"
    elsewhere = dict(zip(("PORT", "LIVE_PORT", "WORKER_PORT"), map(str, free_ports(3)), strict=True))
    assert not Container(container.image, container.environment | elsewhere).healthy()


@pytest.mark.parametrize("container", ["web"], indirect=True)
@pytest.mark.parametrize("path", ["/widget/?key=pk_0123456789abcdef0123456789abcdef", "/docs", "/static/embed.js"])
def test_its_pages_are_whole(container: Container, path: str) -> None:
    until(container.healthy, "the health check is content", 60)
    answer = httpx.get(
        f"http://127.0.0.1:{container.environment['PORT']}{path}", headers={"accept-language": "de"}
    )
    assert answer.status_code == 200
    assert "<html lang=de" in answer.text or 'lang="de"' in answer.text or path.startswith("/static")


def test_the_procfile_works_in_it(image: Image) -> None:
    for line in (image.root / "srv/Procfile").read_text("utf-8").splitlines():
        name, _, command = line.partition(": ")
        program, *arguments = command.split()
        assert (image.root / "srv" / program).exists()
        assert arguments == [name]


def test_it_installs_what_is_locked_and_nothing_for_development() -> None:
    assert INSTALL in [step.text for step in BUILD]
    assert "dev" not in (ROOT / "Dockerfile").read_text("utf-8").replace("development", "")
    assert not any(is_sent(path) for path in ("tests", ".env", "var", ".venv", ".git", "requirements-dev.lock"))


def test_nobody_but_root_can_change_the_code_and_root_does_not_run_it() -> None:
    last = [one.text for one in of(FINAL, "USER")][-1]
    user, group = map(int, last.split(":"))  # numbers, which Kubernetes' runAsNonRoot can tell from root
    assert user > 0
    assert group > 0
    after = FINAL[[one.name for one in FINAL].index("USER") :]
    assert not of(after, "COPY")
    assert not of(after, "RUN")
    assert all("--chown" not in one.text for one in of(FINAL, "COPY"))


def test_its_settings_exist() -> None:
    given = {pair.split("=", 1)[0] for one in of(FINAL, "ENV") for pair in one.words}
    assert {name.lower() for name in given} - {"path", "pythondontwritebytecode"} <= set(Settings.model_fields)
