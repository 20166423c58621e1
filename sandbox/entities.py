"""Text as the Bot API reads it: `parse_mode=HTML`, and the entities Telegram finds by itself."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

Entities = list[dict[str, Any]]

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "tg-emoji": "custom_emoji",
}
_TOKEN = re.compile(r"<|&(?:lt|gt|amp|quot|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_ATTRIBUTE = re.compile(r"""\s*([a-zA-Z-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_FOUND = re.compile(
    r"(?P<url>https?://[^\s<>\"]+[^\s<>\".,;:!?)])"
    r"|(?<![\w/])(?P<bot_command>/[A-Za-z0-9_]{1,64}(?:@\w+)?)(?![\w/])"
    r"|(?P<email>\b[\w.+-]+@[\w-]+\.[\w.]*\w)"
    r"|(?<!\w)(?P<mention>@[A-Za-z]\w{4,31})"
)


class MarkupError(ValueError):
    """What stands after `can't parse entities: ` in Telegram's answer."""


@dataclass(slots=True)
class _Open:
    tag: str
    start: int
    extra: dict[str, str]


def utf16(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2


def parse_html(source: str) -> tuple[str, Entities]:
    """Plain text and entities of Telegram's HTML. Raises MarkupError in Telegram's own words."""
    text = ""
    entities: Entities = []
    stack: list[_Open] = []
    position = 0
    while True:
        token = _TOKEN.search(source, position)
        if token is None:
            text += source[position:]
            break
        text += source[position : token.start()]
        position = token.end()
        if token.group() != "<":
            text += html.unescape(token.group())
            continue
        offset = len(source[: token.start()].encode())
        end = _tag_end(source, position)
        closing = source.startswith("/", position)
        if end < 0:
            raise MarkupError(f"Unclosed {'end' if closing else 'start'} tag at byte offset {offset}")
        inside = source[position:end]
        position = end + 1
        if not closing:
            stack.append(_open(inside, offset, utf16(text)))
            continue
        if not stack:
            raise MarkupError(f"Unexpected end tag at byte offset {offset}")
        opened = stack.pop()
        found = inside[1:].strip().lower()
        if found and found != opened.tag:
            raise MarkupError(
                f'Unmatched end tag at byte offset {offset}, expected "</{opened.tag}>", found "</{found}>"'
            )
        length = utf16(text) - opened.start
        if length > 0:
            entities.append({"offset": opened.start, "length": length, "type": _TAGS[opened.tag], **opened.extra})
    if stack:
        raise MarkupError(f'Can\'t find end tag corresponding to start tag "{stack[-1].tag}"')
    return _trim(text, entities)


def _tag_end(source: str, position: int) -> int:
    quote = ""
    for index in range(position, len(source)):
        char = source[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == ">":
            return index
    return -1


def _open(inside: str, offset: int, start: int) -> _Open:
    name = re.match(r"[^\s]*", inside)
    tag = name.group().lower() if name else ""
    attributes = {
        key.lower(): html.unescape(double or single or bare)
        for key, double, single, bare in _ATTRIBUTE.findall(inside[len(tag) :])
    }
    unsupported = tag not in _TAGS or (tag == "span" and attributes.get("class") != "tg-spoiler")
    if unsupported:
        raise MarkupError(f'Unsupported start tag "{tag}" at byte offset {offset}')
    extra: dict[str, str] = {}
    if tag == "a":
        extra["url"] = attributes.get("href", "")
    elif tag == "tg-emoji":
        extra["custom_emoji_id"] = attributes.get("emoji-id", "")
    elif tag == "code" and attributes.get("class", "").startswith("language-"):
        extra["language"] = attributes["class"].removeprefix("language-")
    return _Open(tag, start, extra)


def _trim(text: str, entities: Entities) -> tuple[str, Entities]:
    """Telegram cuts white space off both ends of a message, and the entities move with it."""
    left = utf16(text) - utf16(text.lstrip())
    text = text.strip()
    total = utf16(text)
    kept: Entities = []
    for entity in entities:
        start = max(entity["offset"] - left, 0)
        end = min(entity["offset"] + entity["length"] - left, total)
        # A link without an address is plain text; `code` inside `pre` only names the language.
        if end > start and entity.get("url") != "":
            kept.append({**entity, "offset": start, "length": end - start})
    return text, sorted(kept, key=lambda entity: (entity["offset"], -entity["length"]))


def find_entities(text: str, known: Entities | None = None) -> Entities:
    """The links, commands, mentions and emails in `text`, besides the ones that are `known` already."""
    known = known or []
    taken = [
        (entity["offset"], entity["offset"] + entity["length"])
        for entity in known
        if entity["type"] in {"code", "pre", "text_link", "url"}
    ]
    found = list(known)
    for match in _FOUND.finditer(text):
        start = utf16(text[: match.start()])
        end = start + utf16(match.group())
        if match.lastgroup and not any(start < right and left < end for left, right in taken):
            found.append({"offset": start, "length": end - start, "type": match.lastgroup})
    return sorted(found, key=lambda entity: (entity["offset"], -entity["length"]))
