"""A published example: its text, what is wrong with it as printed, and its placeholders filled in."""

import re
from dataclasses import dataclass
from pathlib import Path

HOST = "https://api.kod.mobi"
FOLDER = Path(__file__).resolve().parent / "examples"


@dataclass(frozen=True)
class Given:
    """What a developer puts into an example."""

    host: str
    key: str
    to: str = ""
    session_id: str = ""
    callback_url: str = ""


@dataclass(frozen=True)
class Example:
    """`file` holds the text as published; `flaw` is why it can't work so, `meant` what its author meant."""

    file: str
    flaw: str = ""
    meant: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.file

    @property
    def endpoint(self) -> str:
        return self.file.partition(".")[0]

    @property
    def language(self) -> str:
        return self.file.partition(".")[2]

    def printed(self, given: Given) -> str:
        """The text as published, filled in."""
        return _fill((FOLDER / self.file).read_text("utf-8"), given)

    def mended(self, given: Given) -> str:
        """The text that its author meant, filled in; the published one where that has no flaw."""
        text = (FOLDER / self.file).read_text("utf-8")
        for printed, meant in self.meant:
            assert text.count(printed) == 1, printed
            text = text.replace(printed, meant)
        return _fill(text, given)


def _fill(text: str, given: Given) -> str:
    """Each `<replace me>` is known by its line; the second version's examples leave values empty instead."""
    wanted = {
        "x-api-key": given.key,
        '"to"': given.to,
        "session_id": given.session_id,
        "callback": given.callback_url,
    }
    lines = text.replace(HOST, given.host).rstrip("\n").split("\n")
    for number, line in enumerate(lines):
        if "<replace me>" in line:
            value = next(value for name, value in wanted.items() if name in line)
            lines[number] = line.replace("<replace me>", value)
    filled = "\n".join(lines).replace("Your-Secret-Account-Token", given.key)
    filled = filled.replace("session_id=&", f"session_id={given.session_id}&")
    return re.sub("phone=[0-9]+", f"phone={given.to.lstrip('+')}", filled)
