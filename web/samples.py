"""What the API answers, for people to look at: made of the verbs' own types, so that no field can be forgotten."""

from typing import Any

from gateway.channels import DESCRIPTIONS, NAMES, Channel, SessionChannel
from gateway.verbs import (
    Challenge,
    Checked,
    CodeForm,
    Created,
    MessageStatus,
    ProjectName,
    Sent,
    SettingsAnswer,
    Verified,
)
from web import api, legacy, manual
from web.openapi import MESSAGE, OPERATIONS

SESSION_ID = "01K8N1VMPN0EE389K72YW0CBM2"
VERIFY_TOKEN = "lAG6MDFLOE4xVk1QTjBFRTM4OUs3MllXMENCTTLZWQ.awE_kA.Lm8V3kQy"  # noqa: S105
PHONE = "+79522966236"
CODE_SECRET = "sk_example"  # noqa: S105 - opens nothing
CODE = "aes256:eafc861fa838acb1e757ba7d5923950e:47ddaef9bf98aa66a63bb649e6687271:d18bba45"  # "0000" by that secret
EXPIRES_AT = "2025-10-28T09:22:48.950Z"


def answers(public_url: str) -> dict[str, Any]:
    """An answer to each operation, by its title."""
    telegram = _channel(public_url, Channel.TELEGRAM, timeout=60)
    whatsapp = _channel(public_url, Channel.WHATSAPP)
    others = [_channel(public_url, channel) for channel in (Channel.VIBER, Channel.SMS)]
    created = Created(SESSION_ID, EXPIRES_AT, Channel.TELEGRAM, [telegram, whatsapp, *others])
    checked = Checked(VERIFY_TOKEN)
    by_verb: dict[Any, Any] = {
        api.create: created,
        api.send: Sent(SESSION_ID, EXPIRES_AT, telegram),
        api.channels: created.channels,
        api.check: checked,
        api.verify: Verified(
            to=PHONE,
            verified_at="2025-10-28T09:21:30.118Z",
            session_id=SESSION_ID,
            phone=PHONE,
            channel=Channel.TELEGRAM,
        ),
        api.settings: SettingsAnswer(
            "en", ProjectName("Shop"), CodeForm(length=6, digits=True, letters=False), Challenge()
        ),
        api.challenge: CHALLENGE,
        manual.send: {"message": "Sent to queue.", "code": CODE, "message_id": 1},
        legacy.create: _wrapped(
            {"session_id": SESSION_ID, "sent_to": Channel.TELEGRAM, "client_channels": created.channels}
        ),
        legacy.send: _wrapped(
            {
                "session_id": SESSION_ID,
                "client_channel": _channel(public_url, Channel.WHATSAPP, timeout=60),
            }
        ),
        legacy.check: _wrapped(checked),
        legacy.verify: _wrapped({"phone": PHONE}),
        legacy.check_channel: _wrapped(telegram),
    }
    return {
        **{OPERATIONS[verb].title: answer for verb, answer in by_verb.items()},
        MESSAGE.title: MESSAGE_STATUS,
    }


CHALLENGE = {
    "parameters": {
        "algorithm": "PBKDF2/SHA-256",
        "cost": 1000,
        "keyLength": 32,
        "keyPrefix": "b56e4c5c6b22bb0a2f4a2bfc0b8f1d37",
        "nonce": "55ab6b0ff5d0e9c8c5d60a3c9c3ff2f3",
        "salt": "8d2dbd4a2e93d08fe1ed13e5e5d4d24c",
        "keySignature": "7f2a2fbb5c7e8ea1f0c37a6a5a7ce7c0cf8e0a9d4b5cfa0ce26b7d0d3d3e8b11",
        "expiresAt": 1761644080,
        "data": {"id": "01K8N1TVJ8KQ5B0WZ6E1N3M7XA", "project": 1, "era": 0},
    },
    "signature": "3bb9f0a1f1a8c7a1e4de11dd65f43b2a0b7d9a3c0a1fe07f1f3f1c6d2f5e7a90",
}
MESSAGE_STATUS = MessageStatus(1, "sent", Channel.EMAIL, "ann@example.com", "", "2025-10-28T09:20:02.417Z")


def _channel(public_url: str, channel: Channel, timeout: int = 0) -> SessionChannel:
    """Telegram as it is for somebody who has not opened the bot yet."""
    is_telegram = channel is Channel.TELEGRAM
    return SessionChannel(
        name=NAMES[channel],
        type=channel,
        is_active=not is_telegram,
        timeout=timeout,
        image_url=f"{public_url}/static/icons/{channel}.svg",
        link=f"https://t.me/my_tg_bot?start={SESSION_ID}Qh7x0LkVb2Zr9sTe" if is_telegram else public_url,
        description=DESCRIPTIONS[channel],
    )


def _wrapped(data: Any) -> dict[str, Any]:
    return {"success": True, "data": data}
