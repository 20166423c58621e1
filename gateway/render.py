"""Texts that leave by a channel or the bot, rendered from `templates/messages` and `templates/bot`."""

from functools import cache
from pathlib import Path
from typing import NamedTuple
from unicodedata import category

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateError,
)

from gateway.channels import Channel
from gateway.i18n import DEFAULT_LANGUAGE, TEMPLATES
from gateway.segments import segments

_OURS = FileSystemLoader(TEMPLATES)
# Plain text, not HTML: nothing is escaped, and no text is ever read as markup by its receiver.
_TEXTS = Environment(
    loader=_OURS,
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701
    trim_blocks=True,
    lstrip_blocks=True,
)
# The HTML half of a letter: whatever a project is called stays text.
_PAGES = _TEXTS.overlay(autoescape=True)

_OWN = "own"  # in front of an operator's texts
BRIEFEST = 3  # without its life, without the warning, without the project's name
_LONGEST_SUBJECT = 200  # characters: no reader shows more, and a line of a letter may not pass 998 bytes


class Letter(NamedTuple):
    """What a letter has besides its plain text."""

    subject: str
    html: str


class WrongText(Exception):
    """An operator's own text can't be used; says which, and why."""


def use_messages_folder(folder: Path | None) -> None:
    """Take an operator's texts before ours: `<channel>/<lang>.txt`, or for a project `<id>/<channel>/<lang>.txt`.

    Raises `WrongText`, having tried each of them.
    """
    loader: BaseLoader = _OURS
    if folder and not folder.is_dir():
        raise WrongText(f"there is no folder {folder}")
    if folder:
        loader = ChoiceLoader([PrefixLoader({_OWN: FileSystemLoader(folder)}), _OURS])
    _TEXTS.loader = _PAGES.loader = loader
    _template.cache_clear()
    for file in sorted(folder.rglob("*/*.*")) if folder else ():
        name = file.relative_to(folder).as_posix() if folder else ""
        if file.suffix in (".txt", ".html"):
            _try(name)


def _try(name: str) -> None:
    try:
        text = _TEXTS.get_template(f"{_OWN}/{name}").render(
            **_values("123456", "Shop", 3, "shop.example.com"), brief=0
        )
    except TemplateError as problem:
        raise WrongText(f"{name}: {problem}") from None
    if "123456" not in text:
        raise WrongText(f"{name}: does not tell the code; write {{{{ code }}}} where it shall stand")


def render_message(
    channel: Channel,
    lang: str,
    *,
    code: str,
    project: str,
    minutes: int,
    host: str,
    project_id: int = 0,
    browser: str = "",
    place: str = "",
    tap: bool = False,
) -> str:
    """The body of a code's message, from `templates/messages/<channel>/<lang>.txt`.

    `browser` and `place` are what asked for it, where known; `tap`: buttons with numbers stand below it. An SMS
    says as much as fits one segment: each step of `brief` leaves something out.
    """
    template = _template(channel, lang, "txt", project_id)
    values = _values(code, project, minutes, host, browser, place, tap)
    if channel is not Channel.SMS:
        return template.render(values).strip()
    text = ""
    for brief in range(BRIEFEST + 1):
        text = template.render(values, brief=brief).strip()
        if segments(text) == 1:
            break
    return text


def render_email(lang: str, *, code: str, project: str, minutes: int, host: str, project_id: int = 0) -> Letter:
    """The subject, always one line, and the HTML of a code's letter, from `templates/messages/email`."""
    values = _values(code, project, minutes, host)
    subject = _template(Channel.EMAIL, lang, "subject.txt", project_id).render(values)
    html = _template(Channel.EMAIL, lang, "html", project_id).render(values)
    return Letter(_one_line(subject)[:_LONGEST_SUBJECT], html)


def render_bot_text(name: str, lang: str, **values: object) -> str:
    """What the bot says, from `templates/bot/<lang>/<name>.txt`."""
    ours = [f"bot/{lang}/{name}.txt", f"bot/{DEFAULT_LANGUAGE}/{name}.txt"]
    return _TEXTS.select_template(ours).render(**values).strip()


def _values(
    code: str, project: str, minutes: int, host: str, browser: str = "", place: str = "", tap: bool = False
) -> dict[str, object]:
    """What every message's text can name."""
    return {
        "code": code,
        "project": project,
        "minutes": minutes,
        "host": host,
        "browser": browser,
        "place": place,
        "tap": tap,
    }


@cache
def _template(channel: Channel, lang: str, ending: str, project_id: int) -> Template:
    templates = _PAGES if ending == "html" else _TEXTS
    return templates.select_template(
        [
            f"{_OWN}/{project_id}/{channel}/{lang}.{ending}",
            f"{_OWN}/{channel}/{lang}.{ending}",
            f"messages/{channel}/{lang}.{ending}",
            f"messages/{channel}/{DEFAULT_LANGUAGE}.{ending}",
        ]
    )


def _one_line(text: str) -> str:
    """Without control characters, of which a line break would begin another header."""
    return " ".join("".join(" " if category(one) in ("Cc", "Cs") else one for one in text).split())
