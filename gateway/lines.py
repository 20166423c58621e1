"""A channel's line of providers: whose turn it is."""

import random
from collections.abc import Sequence

import msgspec

from gateway.providers import Provider


class Line(msgspec.Struct, frozen=True):
    """The providers of one channel, in the operator's order, and their weights (0: none given)."""

    providers: tuple[Provider, ...]
    weights: tuple[int, ...]

    def name(self, number: int) -> str:
        """A provider as `provider_id` counts it, and its kind: `1 smtp`."""
        kind = type(self.providers[number]).__module__.rpartition(".")[2].removeprefix("through_")
        return f"{number + 1} {kind}"

    def order(self, message_id: int) -> list[int]:
        """The providers' numbers in this message's own order, the same at every attempt.

        With weights, each comes first for its share of the messages; those without follow in their order.
        """
        if not any(self.weights):
            return list(range(len(self.providers)))
        chance = random.Random(message_id)  # noqa: S311 - a share, not a secret
        keys = {number: chance.random() ** (1 / weight) for number, weight in enumerate(self.weights) if weight}
        return sorted(range(len(self.providers)), key=lambda number: -keys.get(number, 0.0))

    def left(self, message_id: int, given_up: int, named: int | None = None) -> list[int]:
        """Those that have not refused the message for good; `given_up` has a bit for each that has.

        A provider that the caller has `named`, by its place from 1, is the only one.
        """
        chosen = [named - 1] if named and named <= len(self.providers) else self.order(message_id)
        return [number for number in chosen if not given_up >> number & 1]


def place_in_turn(attempts: int, given_up: int, left: Sequence[int]) -> int:
    """Where in `left` this attempt's turn is; attempts that ended a provider's part don't count."""
    return max(0, attempts - 1 - given_up.bit_count()) % len(left)
