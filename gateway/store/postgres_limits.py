"""The part of the PostgreSQL store that says how limits are handed to its functions (migration 0003).

A function that is over a limit undoes all it did and says so; `strike` then begins the block, in a transaction of
its own. Keys are locked in the order in which limits are named, which is the same for all of a kind.
"""

from collections.abc import Mapping

import msgspec

from gateway.channels import Channel
from gateway.store import Guesses, Limit, Refused, Toll
from gateway.store.ceilings import ended_keys
from gateway.store.postgres_connections import Connections
from gateway.store.postgres_values import numbers, octets

CALM = 86_400_000  # ms after a block's end until it is forgotten
GRAIN = 86_400_000  # ms: an address is noted anew at most once a day
LOOKED_AT = 10  # rows that a purge looks at for each that it may delete
GUESSES = {False: b"g", True: b"h"}
KNOWN = b"f"  # (destination, address) from which somebody has logged in: `due` is how long that counts

Counted = tuple[str | None, str | None, str | None]


def counted(toll: Toll | None) -> Counted:
    """`_keys`, `_costs` and `_bounds` of what counts against these limits."""
    if toll is None:
        return None, None, None
    limits = toll.limits
    bounds = [one.window for one in limits] if toll.proved else [one.soft for one in limits]
    return octets([one.key for one in limits]), numbers([one.cost for one in limits]), numbers(bounds)


def strike(connections: Connections, toll: Toll, now: int) -> Refused:
    """Block what is over its limit, twice as long as the last time; what is blocked already stays so."""
    limits = toll.limits
    [(place, until, strikes)] = connections.run(
        "SELECT * FROM strike_1(%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            octets([one.key for one in limits]),
            numbers([one.cost for one in limits]),
            numbers([one.window for one in limits]),
            octets([one.key for one in limits if one.whose == "ceiling"]),
            toll.first,
            toll.longest,
            CALM,
            now,
        ),
    )
    return Refused(limits[place - 1].whose if place else "", until, strikes)


def as_json(ceilings: Mapping[Channel, Limit]) -> str:
    """Ceilings by channel, for `take_over`."""
    plain = {
        channel.value: {"key": one.key.hex(), "cost": one.cost, "window": one.window}
        for channel, one in ceilings.items()
    }
    return msgspec.json.encode(plain).decode()


def guesses_key(guesses: Guesses, destination: bytes) -> bytes:
    """What the wrong codes of a destination are counted under."""
    return GUESSES[guesses.known] + destination


def with_guesses(toll: Toll, guesses: Guesses | None, destination: bytes, length: int) -> Toll:
    """The limits of a wrong code: its destination's besides the caller's."""
    if guesses is None:
        return toll
    mine = Limit(
        guesses_key(guesses, destination), "guesses", guesses.cost(length), guesses.window, guesses.window
    )
    return Toll((mine, *toll.limits), toll.first, toll.longest)


def is_known(connections: Connections, destination: bytes, address: bytes, now: int) -> bool:
    """Whether somebody has logged in to the destination from this address."""
    rows = connections.run("SELECT due FROM usage WHERE key = %s", (KNOWN + destination + address,))
    return bool(rows) and rows[0][0] > now


def purge(connections: Connections, after: bytes, before: int, most: int) -> tuple[int, bytes]:
    """Forget what has been over since `before`, in the keys behind `after`; how many, and how far it looked.

    An index by time would double what each login writes.
    """
    ahead = connections.run(
        "SELECT key FROM (SELECT key FROM usage WHERE key > %s ORDER BY key LIMIT %s) AS part"
        " ORDER BY key DESC LIMIT 1",
        (after, most * LOOKED_AT),
    )
    last = ahead[0][0] if ahead else b""
    [(days,)] = connections.run(
        "WITH gone AS (DELETE FROM usage WHERE key >= %s AND key < %s RETURNING 1) SELECT count(*) FROM gone",
        ended_keys(before),
    )
    [(gone,)] = connections.run(
        "WITH gone AS (DELETE FROM usage WHERE key IN (SELECT key FROM usage WHERE key > %s AND key <= %s"
        " AND due < %s AND until < %s ORDER BY key LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING 1)"
        " SELECT count(*) FROM gone",
        (after, last, before, before, most),
    )
    return days + gone, after if gone == most else last
