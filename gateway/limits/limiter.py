"""`Limiter`: which limits a request is under, as the store counts them, and what their refusals say."""

from functools import cache, lru_cache

from gateway import codes, errors
from gateway.contact import Contact
from gateway.keyring import Destinations
from gateway.limits.rate import Rate
from gateway.limits.subjects import address_subject, country_prefix
from gateway.settings import Settings
from gateway.store import Guesses, Limit, Refused, Toll, Whose
from gateway.verbs import Caller

_MILLION = 10**6  # six digits, for which the limits of guesses are derived (docs/limits.md)
REMEMBERED = 4096  # callers whose keyed hashes are at hand: some 1 MiB a process
_DAY = 86_400_000
_NEVER = 1 << 50  # ms
_ASKS = b"?"
_KNOWN_FOR = 30 * _DAY  # an address from which somebody logged in is theirs that long


class Limiter:
    """Safe to share between threads. With LIMITS=off, there are none."""

    def __init__(self, settings: Settings, destinations: Destinations) -> None:
        self._on = settings.limits == "on"
        self._config = settings
        self._destinations = destinations
        self._of = lru_cache(maxsize=REMEMBERED)(self._make_callers)
        self._sites = lru_cache(maxsize=REMEMBERED)(self._make_sites)
        self._address = lru_cache(maxsize=REMEMBERED)(self._make_address)
        self._blocks = (settings.block_seconds * 1000, settings.block_longest_seconds * 1000)

    def sends(
        self,
        caller: Caller,
        to: Contact,
        destination: bytes,
        *,
        proved: bool,
        known: bool = False,
        ceiling: Limit | None = None,
    ) -> Toll | None:
        """What a session or a message counts against. `known`: the caller is, to this destination.

        `proved`: a challenge was solved, or none is to be asked for. `ceiling`: its channel's, where it is known.
        """
        if not self._on:
            return None
        config, tag = self._config, b"S" if known else b"s"
        prefix = country_prefix(to.value) if to.kind == "phone" else ""
        limits = (
            _limit("destination", tag, destination, config.limit_sends_destination),
            *self._callers(caller, b"s", unproved=not proved),
            *self._sites(caller.project.id, prefix),
        )
        return Toll(limits, *self._blocks, proved or caller.secret).plus(ceiling)

    def checks(self, caller: Caller) -> Toll | None:
        """What a code that is not right counts against, besides its destination.

        Not the project: who guesses at many phones would use that up, and everybody's logins with it. What bounds
        all guesses of a project is the number of its sessions (docs/limits.md).
        """
        if not self._on:
            return None
        return Toll(self._callers(caller, b"k"), *self._blocks)

    def guesses(self, caller: Caller, *, known: bool = False) -> Guesses | None:
        """How many wrong codes a destination takes, whatever its sessions, from strangers or those it knows."""
        if not self._on:
            return None
        rate = self._config.limit_guesses_known if known else self._config.limit_guesses
        alphabet = len(caller.project.settings.alphabet)
        costs = _guess_costs(rate, alphabet, self._config.code_attempts)
        return Guesses(known, costs, rate.window, self.address(caller), _KNOWN_FOR)

    def address(self, caller: Caller) -> bytes:
        """What stands for the caller's address; empty where it has none. A site's server is no visitor."""
        return b"" if caller.secret else self._address(caller.project.id, caller.address)

    def activations(self, project_id: int, destination: bytes, bot_id: int, chat_id: int) -> Toll | None:
        """What a shared contact counts against."""
        if not self._on:
            return None
        config = self._config
        chat = self._destinations.hash(project_id, f"chat:{bot_id}:{chat_id}")
        return Toll(
            (
                _limit("address", b"a", chat, config.limit_activations_chat),
                _limit("destination", b"a", destination, config.limit_activations_destination),
                _limit("project", b"pa", b"%d" % project_id, config.limit_activations_project),
            ),
            *self._blocks,
        )

    def _callers(self, caller: Caller, what: bytes, *, unproved: bool = False) -> tuple[Limit, ...]:
        """Those of whoever asks. A site's own server is the site, whatever its address."""
        if caller.secret:
            return ()
        return self._of(what, caller.project.id, caller.address, caller.browser_key, unproved)

    def _make_callers(
        self, what: bytes, project: int, address: str, browser_key: str, unproved: bool
    ) -> tuple[Limit, ...]:
        config, hashes = self._config, self._destinations
        sends = what == b"s"
        limits: list[Limit] = []
        if key := self._address(project, address):
            rate = config.limit_sends_address if sends else config.limit_checks_address
            limits.append(_limit("address", what, key, rate))
            soft = config.limit_sends_address_soft
            if sends and unproved and soft.count < rate.count:
                # It never blocks, only asks; its key is a neighbour, so that it costs no other page to write.
                limits.append(Limit(what + key + _ASKS, "address", soft.cost, _NEVER, soft.window))
        if browser_key:
            rate = config.limit_sends_browser if sends else config.limit_checks_browser
            limits.append(_limit("browser", what, hashes.browser(project, browser_key), rate))
        return tuple(limits)

    def _make_sites(self, project: int, prefix: str) -> tuple[Limit, ...]:
        """The project's, and its country's. Their keys are neighbours, so that they cost one page to write."""
        config = self._config
        rate = config.limit_sends_project
        limits = [_limit("project", b"ps", b"%d" % project, rate, soft=rate.window // 2)]
        if prefix:
            rate, subject = config.limit_sends_prefix, f"{project}{prefix}".encode()
            limits.append(_limit("prefix", b"ps", subject, rate, soft=rate.window // 2))
        return tuple(limits)

    def _make_address(self, project: int, address: str) -> bytes:
        subject = address_subject(address)
        return self._destinations.address(project, subject) if subject else b""


def refusal_of(refused: Refused, now: int) -> errors.GatewayError:
    """The refusal that a caller reads: 429 at first, 423 for who comes back too often again."""
    if refused.whose == "ceiling":
        return errors.ChannelUsedUp()
    timeout = max(1, -(-(refused.until - now) // 1000))
    if refused.whose == "guesses":
        return errors.DestinationBlocked(timeout)
    if refused.strikes <= 1 or refused.whose in ("project", "prefix"):
        return errors.TooOften(timeout)
    return errors.DestinationTired(timeout) if refused.whose == "destination" else errors.CallerBlocked(timeout)


@cache
def _guess_costs(rate: Rate, alphabet: int, attempts: int) -> tuple[int, ...]:
    """What a wrong code costs, by its length: a short one more, but never so much that a session's do not fit."""
    most = max(1, rate.count // attempts)
    return tuple(rate.cost * min(most, -(-_MILLION // alphabet**length)) for length in range(codes.LONGEST + 1))


def _limit(whose: Whose, tag: bytes, subject: bytes, rate: Rate, *, soft: int | None = None) -> Limit:
    """`soft` is the part of its window beyond which a challenge is asked for."""
    return Limit(tag + subject, whose, rate.cost, rate.window, rate.window if soft is None else soft)
