"""Updates in this process: what they leave behind."""

import asyncio
import gc

from aiogram.fsm.storage.memory import MemoryStorageRecord

from bot.bots import ServedBot
from tests.world import World


def test_nobody_who_writes_to_the_bot_is_kept_in_memory(world: World) -> None:
    """By webhook, where what the bot says is the answer, so that no Bot API is needed."""
    config = world.settings.model_copy(update={"telegram_mode": "webhook"})

    async def run() -> None:
        served = ServedBot("1:sandbox", world.gateway, config, lambda: None)
        for number in range(1, 31):
            person = {"id": number, "is_bot": False, "first_name": "Ann"}
            chat = {"id": number, "type": "private"}
            message = {"message_id": 1, "date": 1_790_000_000, "chat": chat, "from": person, "text": "/help"}
            update = served.handling.read({"update_id": number, "message": message})
            assert update
            handled = await served.handling.handle(update)
            assert handled
            assert handled.last
        await served.bot.session.close()
        assert not [one for one in gc.get_objects() if isinstance(one, MemoryStorageRecord)]

    asyncio.run(run())
