"""Yandex SmartCaptcha (yandex.cloud/docs/smartcaptcha): a token lives 5 minutes and is good once.

Its answer is `{status: ok | failed, message, host}`. A wrong secret is a `failed` as well, told by its message.
"""

from typing import Any

from gateway.challenge.service import CannotTell, Service


def _read(answer: dict[str, Any]) -> bool:
    status, message = answer.get("status"), str(answer.get("message", ""))
    if status == "ok":
        return True
    if status != "failed":
        raise CannotTell("an answer without a status")
    if "secret" in message.lower() or "authentication" in message.lower():
        raise CannotTell(f"it says {message[:200]}", our_fault=True)
    return False


SERVICE = Service(
    name="smartcaptcha",
    verify_url="https://smartcaptcha.cloud.yandex.ru/validate",
    token_field="token",  # noqa: S106 - a field's name
    read=_read,
    script_url="https://smartcaptcha.cloud.yandex.ru/captcha.js?render=onload&onload=kodgateChallenge",
    script_object="smartCaptcha",
    sources=("https://smartcaptcha.cloud.yandex.ru", "https://smartcaptcha.yandexcloud.net"),
    inline_styles=True,
)
