"""Telegram without its bot, by Telegram's Gateway: sent at once, and told how the session ended."""

from pathlib import Path

from tests.providers.double_telegram_gateway import Account, telegram_gateway_double
from tests.servers import Servers, until
from tests.world import new_phone

TOKEN = "AAGtoken"


def test_the_gateway_sends_and_is_told_of_right_codes_and_of_closed_sessions(tmp_path: Path) -> None:
    account = Account()
    with telegram_gateway_double(TOKEN, account.answer) as double:
        url = f"telegram-gateway://{TOKEN}?api={double.url}"
        with Servers(tmp_path, TELEGRAM_URL=url) as servers:
            phone = new_phone()
            created = servers.create(phone, "telegram")
            telegram = next(channel for channel in created["channels"] if channel["type"] == "telegram")
            assert telegram["is_active"], "nobody has to start the bot first"
            [code] = until(lambda: list(account.codes.values()), "the code is sent")
            assert code == servers.code_of(created["session_id"])
            assert servers.check(created["session_id"], code).status_code == 200
            until(lambda: account.confirmed == ["request-1"], "the right code is told")

            other = servers.create(new_phone(), "telegram")["session_id"]
            until(lambda: "request-2" in account.codes, "the code is sent")
            wrong = "000000" if servers.code_of(other) != "000000" else "000001"
            for _ in range(5):
                servers.check(other, wrong)
            until(lambda: account.revoked == ["request-2"], "the closed session's message is taken back")
        assert double.wrong == []
    assert account.confirmed == ["request-1"]
