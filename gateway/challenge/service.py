"""What a CAPTCHA provider is to us: one `Service` each, in a module of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.settings import Settings


class CannotTell(Exception):
    """The provider did not say whether a token is good. `our_fault`: it refuses our secret or our request."""

    def __init__(self, reason: str, *, our_fault: bool = False) -> None:
        super().__init__(reason)
        self.our_fault = our_fault


@dataclass(frozen=True)
class Service:
    """How a provider is asked (a form with `secret` and the token), and what its widget needs of a page.

    `read` says of an answer's JSON whether the token is good, or raises `CannotTell`. `script_object` is the
    global with `render(element, options)` that its script defines before it calls `kodgateChallenge`.
    """

    name: str
    verify_url: str
    token_field: str
    read: Callable[[dict[str, Any]], bool]
    script_url: str
    script_object: str
    sources: tuple[str, ...]  # what its script loads more scripts, frames and data from
    inline_styles: bool = False  # whether what it draws carries style attributes


def verify_url(service: Service, settings: Settings) -> str:
    """Where tokens are checked: the setting, else the provider's own."""
    return str(getattr(settings, f"{service.name}_url") or service.verify_url)


def script_url(service: Service, settings: Settings) -> str:
    """The widget's script: the setting, else the provider's own."""
    return str(getattr(settings, f"{service.name}_script_url") or service.script_url)


def read_siteverify(answer: dict[str, Any]) -> bool:
    """An answer of the form that reCAPTCHA began: `{success, error-codes}`."""
    if answer.get("success") is True:
        return True
    codes = answer.get("error-codes")
    if answer.get("success") is not False or not isinstance(codes, list):
        raise CannotTell("an answer without success and error-codes")
    if ours := [code for code in codes if code not in _OF_THE_TOKEN]:
        raise CannotTell(f"it says {str(ours)[:200]}", our_fault="internal-error" not in ours)
    return False


_OF_THE_TOKEN = ("missing-input-response", "invalid-input-response", "timeout-or-duplicate")
