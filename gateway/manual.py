"""`manual/send`: a site's own server sends a code by a channel it names, without a session (seed: Manual send)."""

from gateway import errors
from gateway.bill.guard import BillGuard
from gateway.channels import Channel
from gateway.clock import to_iso
from gateway.codes import derive_code
from gateway.keyring import Destinations, Keyring, Unsealable
from gateway.limits.limiter import Limiter, refusal_of
from gateway.projects import Project
from gateway.store import Limit, ManualRow, NewManual, OwnCode, Refused, Store
from gateway.verbs import Caller, Draft, ManualSent, MessageStatus


class ManualSends:
    """Queues such messages, each once for its Idempotency-Key, and tells how they went."""

    def __init__(
        self, store: Store, keyring: Keyring, destinations: Destinations, limiter: Limiter, bill: BillGuard
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._destinations = destinations
        self._limiter = limiter
        self._bill = bill

    def send(self, caller: Caller, draft: Draft, own: OwnCode | None, ulid: str, now: int) -> ManualSent:
        """Queue a message under a fresh ULID. Raises `ChannelCannotReach`, `KeyReused`, `TooSoon`."""
        project = caller.project
        chosen, destination = project.settings, self._destinations.hash(project.id, draft.to.value)
        ordered = self._store.add_manual(
            NewManual(
                id=ulid,
                project_id=project.id,
                destination=destination,
                sealed=self._keyring.seal(draft.to.value, ulid),
                own_code=own.sealed if own else None,
                code_length=own.length if own else chosen.code_length,
                lang=caller.lang,
                channel=draft.channel,
                now=now,
                expires_at=now + chosen.session_seconds * 1000,
                callback_url=draft.callback_url,
                repeat_key=self._destinations.hash(project.id, f"key:{draft.repeat_key}")
                if draft.repeat_key
                else None,
                fingerprint=self._fingerprint(project, draft),
                provider=draft.provider_id or 0,
            ),
            self._limiter.sends(
                caller, draft.to, destination, proved=True, ceiling=self._ceiling(project, draft.channel)
            ),
        )
        if isinstance(ordered, Refused):
            self._bill.forget(project)
            raise refusal_of(ordered, now)
        if ordered == "unreachable":
            raise errors.ChannelCannotReach
        if ordered == "other":
            raise errors.KeyReused
        return ManualSent(ordered.message_id, self._code(project, ordered))

    def status(self, project: Project, message_id: int) -> MessageStatus:
        """How a message went. Raises `NotFound`."""
        row = self._store.manual(project.id, message_id)
        if row is None:
            raise errors.NotFound
        try:
            return status_of(row, self._keyring)
        except Unsealable:  # from before SECRET_KEYS lost the key: nobody can read it any more
            raise errors.NotFound from None

    def _ceiling(self, project: Project, channel: Channel) -> Limit | None:
        """Telegram reaches only those whose bot is active, and that is free."""
        return None if channel is Channel.TELEGRAM else self._bill.ceilings(project).get(channel)

    def _code(self, project: Project, row: ManualRow) -> str:
        try:
            if row.own_code:
                return self._keyring.open(row.own_code, row.id)
            key = self._keyring.sealed_with(row.sealed).code
        except Unsealable:
            raise errors.KeyReused from None
        return derive_code(key, row.id, project.settings.alphabet, row.code_length)

    def _fingerprint(self, project: Project, draft: Draft) -> bytes:
        parts = (draft.to.value, draft.channel, draft.code or "", str(draft.provider_id), draft.callback_url or "")
        return self._destinations.hash(project.id, "\0".join(parts))


def status_of(row: ManualRow, keyring: Keyring) -> MessageStatus:
    """A message's row as its sender sees it. Raises `Unsealable`."""
    return MessageStatus(
        message_id=row.message_id,
        status=row.state,
        channel=row.channel,
        to=keyring.open(row.sealed, row.id),
        error=row.error,
        finished_at=to_iso(row.finished_at) if row.finished_at else None,
    )
