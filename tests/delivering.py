"""A round of delivery (`Store.deliver`), a part at a time."""

from collections.abc import Sequence

from gateway.channels import Channel
from gateway.store import Claimed, Outcome, Store


def claim(store: Store, now: int, lease: int, channels: Sequence[Channel], most: int) -> list[Claimed]:
    """What is due, taken."""
    return store.deliver([], now, lease, channels, most).claimed


def finish(store: Store, outcomes: Sequence[Outcome], now: int) -> None:
    """Write down how sending went, take nothing."""
    store.deliver(outcomes, now, 0, [], 0)


def next_due(store: Store, channels: Sequence[Channel]) -> int | None:
    """When the next message is due."""
    return store.deliver([], 0, 0, channels, 0).next_due
