"""Google reCAPTCHA (developers.google.com/recaptcha/docs/verify): a token lives 120 s and is good once.

The widget shows v2's checkbox. An API client may bring v3's token: a success says little there, its score counts.
"""

from typing import Any

from gateway.challenge.service import CannotTell, Service, read_siteverify

LOWEST_SCORE = 0.5  # Google's own default threshold


def _read(answer: dict[str, Any]) -> bool:
    if not read_siteverify(answer):
        return False
    score = answer.get("score", 1.0)
    if not isinstance(score, (int, float)):
        raise CannotTell("a score that is no number")
    return score >= LOWEST_SCORE


SERVICE = Service(
    name="recaptcha",
    verify_url="https://www.google.com/recaptcha/api/siteverify",
    token_field="response",  # noqa: S106 - a field's name
    read=_read,
    script_url="https://www.google.com/recaptcha/api.js?render=explicit&onload=kodgateChallenge",
    script_object="grecaptcha",
    sources=(
        "https://www.google.com/recaptcha/",
        "https://www.gstatic.com/recaptcha/",
        "https://recaptcha.google.com/recaptcha/",
    ),
    inline_styles=True,
)
