"""The delivery loop of a process that is told to end."""

import asyncio
import contextlib

from gateway.channels import Channel
from gateway.delivery import Courier
from gateway.lines import Line
from gateway.providers import Message, Receipt
from tests.delivering import next_due
from tests.world import World, new_phone

LEFT = 2.0  # seconds


class Uneven:
    """A provider that answers the first message at once, and the others never."""

    def __init__(self) -> None:
        self.asked = 0
        self.slow = asyncio.Event()

    async def send(self, message: Message) -> Receipt:  # noqa: ARG002
        self.asked += 1
        if self.asked > 1:
            self.slow.set()
            await asyncio.sleep(60)
        return Receipt()


def test_what_was_sent_is_written_down_though_another_send_outlasts_the_end(world: World) -> None:
    """Else it would be sent once more when its lease ends."""
    sessions = [world.create(new_phone(), channel=Channel.SMS).session_id for _ in range(2)]

    async def run() -> None:
        provider = Uneven()
        courier = Courier(world.gateway, {Channel.SMS: Line((provider,), (0,))}, world.settings)  # type: ignore[arg-type]
        task = asyncio.create_task(courier.run())
        await provider.slow.wait()
        task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), LEFT)

    asyncio.run(run())
    rows = world.gateway.store.sessions(sessions)
    assert [rows[one].sends[0].state for one in sessions] == ["sent", "sending"]
    assert next_due(world.gateway.store, [Channel.SMS]) is not None, "the other is taken over when its lease ends"
