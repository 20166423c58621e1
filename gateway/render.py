"""Texts that leave by a channel or the bot, rendered from `templates/messages` and `templates/bot`."""

from functools import cache

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


def render_message(channel: Channel, lang: str, *, code: str, project: str, minutes: int, host: str) -> str:
    """The body of a code's message, from `templates/messages/<channel>/<lang>.txt`."""
    template = _template(f"messages/{channel}", lang)
    return template.render(code=code, project=project, minutes=minutes, host=host).strip()


def render_bot_text(name: str, lang: str, **values: object) -> str:
    """What the bot says, from `templates/bot/<lang>/<name>.txt`."""
    return _TEXTS.get_template(f"bot/{lang}/{name}.txt").render(**values).strip()


@cache
def _template(folder: str, lang: str) -> Template:
    try:
        return _TEXTS.get_template(f"{folder}/{lang}.txt")
    except TemplateNotFound:
        return _TEXTS.get_template(f"{folder}/{DEFAULT_LANGUAGE}.txt")
