"""`reply_markup` as the Bot API checks it."""

from __future__ import annotations

import json
from typing import Any

_INLINE_KINDS = (
    "callback_data",
    "url",
    "copy_text",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "callback_game",
    "pay",
)
_MAX_BUTTONS = 100


class KeyboardError(ValueError):
    """What stands after `Bad Request: ` in Telegram's answer."""


def parse_markup(value: Any) -> dict[str, Any] | None:
    """A checked `reply_markup`, from JSON text or an object. None when there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise KeyboardError("can't parse reply keyboard markup JSON object") from None
    if value is None:
        return None
    if not isinstance(value, dict):
        raise KeyboardError("object expected as reply markup")
    if "inline_keyboard" in value:
        return {"inline_keyboard": _rows(value["inline_keyboard"], "InlineKeyboardMarkup", _inline_button)}
    if "keyboard" in value:
        return {**value, "keyboard": _rows(value["keyboard"], "ReplyKeyboardMarkup", _keyboard_button)}
    if value.get("remove_keyboard"):
        return {"remove_keyboard": True}
    if value.get("force_reply"):
        return {**value, "force_reply": True}
    return None


def inline(markup: dict[str, Any] | None) -> dict[str, Any] | None:
    """The part of a markup that stays with its message: only inline keyboards do."""
    return markup if markup and markup.get("inline_keyboard") else None


def _rows(rows: Any, owner: str, parse: Any) -> list[list[dict[str, Any]]]:
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise KeyboardError(f"field of the {owner} must be an Array of Arrays")
    if sum(len(row) for row in rows) > _MAX_BUTTONS:
        raise KeyboardError("REPLY_MARKUP_TOO_LONG")
    return [[parse(button) for button in row] for row in rows if row]


def _text(button: dict[str, Any], kind: str) -> None:
    if not isinstance(button.get("text"), str) or not button["text"].strip():
        raise KeyboardError(f'can\'t parse {kind}: Field "text" must be of type String')


def _inline_button(button: Any) -> dict[str, Any]:
    kind = "inline keyboard button"
    if not isinstance(button, dict):
        raise KeyboardError(f"can't parse {kind}: InlineKeyboardButton must be an Object")
    checked: dict[str, Any] = {key: value for key, value in button.items() if value is not None}
    _text(checked, kind)
    if not any(name in checked for name in _INLINE_KINDS):
        raise KeyboardError(f"can't parse {kind}: Text buttons are unallowed in the inline keyboard")
    data = checked.get("callback_data")
    if data is not None and (not isinstance(data, str) or not 1 <= len(data.encode()) <= 64):
        raise KeyboardError("BUTTON_DATA_INVALID")
    url = checked.get("url")
    # The real one refuses localhost too; here that is where the site lives.
    if url is not None and not str(url).startswith(("http://", "https://", "tg://")):
        raise KeyboardError(f"inline keyboard button URL '{url}' is invalid: Unsupported URL protocol")
    copy = checked.get("copy_text")
    if copy is not None:
        text = copy.get("text") if isinstance(copy, dict) else None
        if not isinstance(text, str) or not 1 <= len(text) <= 256:
            raise KeyboardError("BUTTON_COPY_TEXT_INVALID")
    return checked


def _keyboard_button(button: Any) -> dict[str, Any]:
    if isinstance(button, str):
        button = {"text": button}
    if not isinstance(button, dict):
        raise KeyboardError("can't parse keyboard button: KeyboardButton must be an Object")
    checked: dict[str, Any] = {key: value for key, value in button.items() if value is not None}
    _text(checked, "keyboard button")
    return checked
