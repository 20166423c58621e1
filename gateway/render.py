"""Texts that leave by a channel or the bot, rendered from `templates/messages` and `templates/bot`."""

from functools import cache
from typing import NamedTuple
from unicodedata import category

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateNotFound

from gateway.channels import Channel
from gateway.i18n import DEFAULT_LANGUAGE, TEMPLATES

# Plain text, not HTML: nothing is escaped, and no text is ever read as markup by its receiver.
_TEXTS = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701
    trim_blocks=True,
    lstrip_blocks=True,
)
# The HTML half of a letter: whatever a project is called stays text.
_PAGES = _TEXTS.overlay(autoescape=True)

_LONGEST_SUBJECT = 200  # characters: no reader shows more, and a line of a letter may not pass 998 bytes


class Letter(NamedTuple):
    """What a letter has besides its plain text."""

    subject: str
    html: str


def render_message(channel: Channel, lang: str, *, code: str, project: str, minutes: int, host: str) -> str:
    """The body of a code's message, from `templates/messages/<channel>/<lang>.txt`."""
    template = _template(f"messages/{channel}", lang)
    return template.render(code=code, project=project, minutes=minutes, host=host).strip()


def render_email(lang: str, *, code: str, project: str, minutes: int, host: str) -> Letter:
    """The subject, always one line, and the HTML of a code's letter, from `templates/messages/email`."""
    values = {"code": code, "project": project, "minutes": minutes, "host": host}
    subject = _template("messages/email", lang, "subject.txt").render(values)
    html = _template("messages/email", lang, "html", _PAGES).render(values)
    return Letter(_one_line(subject)[:_LONGEST_SUBJECT], html)


def render_bot_text(name: str, lang: str, **values: object) -> str:
    """What the bot says, from `templates/bot/<lang>/<name>.txt`."""
    return _TEXTS.get_template(f"bot/{lang}/{name}.txt").render(**values).strip()


@cache
def _template(folder: str, lang: str, ending: str = "txt", templates: Environment = _TEXTS) -> Template:
    try:
        return templates.get_template(f"{folder}/{lang}.{ending}")
    except TemplateNotFound:
        return templates.get_template(f"{folder}/{DEFAULT_LANGUAGE}.{ending}")


def _one_line(text: str) -> str:
    """Without control characters, of which a line break would begin another header."""
    return " ".join("".join(" " if category(one) in ("Cc", "Cs") else one for one in text).split())
