"""Bot API updates of every kind, whole and broken, by polling or by webhook, through the real dispatcher.

What must hold: the bot goes on, nobody's later update waits, no defect is logged, and nobody's phone is linked but
by its owner's own contact in a private chat. The bot runs as a process; the sandbox is its Bot API.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as chosen
from hypothesis import strategies as st

from gateway.settings import SANDBOX_BOT
from tests.servers import Servers, until
from tests.world import new_phone

Json = dict[str, Any]

SENDER, OTHER, GROUP = 900_001, 900_002, -100_900_003
NOW = 1_790_000_000
KINDS = (  # https://core.telegram.org/bots/api#update
    *(
        "message",
        "edited_message",
        "channel_post",
        "edited_channel_post",
        "business_connection",
        "business_message",
    ),
    *("edited_business_message", "deleted_business_messages", "message_reaction", "message_reaction_count"),
    *("inline_query", "chosen_inline_result", "callback_query", "shipping_query", "pre_checkout_query"),
    *("purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member", "chat_join_request"),
    *("chat_boost", "removed_chat_boost", "managed_bot", "of_another_year"),
)

texts = st.one_of(
    st.sampled_from(
        ["/start", "/start x", "/stop", "/help", "/START@nobody ", "", "\x00", "\ud800", "\u202e/stop"]
    ),
    st.text(st.characters(codec=None), max_size=40),
    st.text(max_size=8).map(lambda text: f"/start {text}"),
    st.just("/start " + "A" * 64),
    st.just("я" * 4096),
)
numbers = st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63, -(2**63) - 1, 10**40, 1e308, 0.5, True])
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KINDS) | texts, inner, max_size=3),
    max_leaves=6,
)


def user(id: int = SENDER, **more: Any) -> Json:
    return {"id": id, "is_bot": False, "first_name": "Ann", "language_code": "ru", **more}


def private(id: int = SENDER) -> Json:
    return {"id": id, "type": "private", "first_name": "Ann"}


def group(kind: str = "supergroup") -> Json:
    return {"id": GROUP, "type": kind, "title": "Friends"}


def message(**more: Any) -> Json:
    return {"message_id": 5, "date": NOW, "chat": private(), "from": user(), **more}


def contact(phone: str, user_id: int | None = SENDER) -> Json:
    return {"phone_number": phone, "first_name": "Ann"} | ({} if user_id is None else {"user_id": user_id})


_FILE = {"file_id": "f", "file_unique_id": "u", "file_size": 1}
_PHOTO = {**_FILE, "width": 1, "height": 1}
CONTENTS: tuple[Json, ...] = (
    {"photo": [_PHOTO], "caption": "/start x"},
    {"video": {**_PHOTO, "duration": 1}},
    {"caption": "x", "caption_entities": [{"type": "bot_command", "offset": 9**9, "length": -1}]},
    {"animation": {**_PHOTO, "duration": 1}, "document": _FILE},
    {"audio": {**_FILE, "duration": 1}},
    {"voice": {**_FILE, "duration": 1}},
    {"video_note": {**_FILE, "length": 1, "duration": 1}},
    {"sticker": {**_PHOTO, "type": "regular", "is_animated": False, "is_video": False}},
    {"document": _FILE},
    {"paid_media": {"star_count": 1, "paid_media": [{"type": "preview"}]}},
    {"story": {"chat": group(), "id": 1}},
    {"location": {"latitude": 1e308, "longitude": -1}},
    {"venue": {"location": {"latitude": 1, "longitude": 1}, "title": "", "address": ""}},
    {"dice": {"emoji": "🎲", "value": 6}},
    {"poll": {"id": "1", "question": "?", "options": [], "total_voter_count": 0, "is_closed": True,
              "is_anonymous": True, "type": "quiz", "allows_multiple_answers": False}},
    {"game": {"title": "", "description": "", "photo": []}},
    {"invoice": {"title": "", "description": "", "start_parameter": "", "currency": "XTR", "total_amount": 1}},
    {"successful_payment": {"currency": "XTR", "total_amount": 1, "invoice_payload": "x",
                            "telegram_payment_charge_id": "x", "provider_payment_charge_id": "x"}},
    {"users_shared": {"request_id": 1, "users": [{"user_id": SENDER}]}},
    {"chat_shared": {"request_id": 1, "chat_id": GROUP}},
    {"web_app_data": {"data": "x", "button_text": "x"}},
    {"new_chat_members": [user(), user(1, is_bot=True)]},
    {"left_chat_member": user()},
    {"group_chat_created": True, "migrate_to_chat_id": 2**63},
    {"forum_topic_created": {"name": "x", "icon_color": 1}, "is_topic_message": True, "message_thread_id": 1},
    {"giveaway": {"chats": [], "winners_selection_date": 2**40, "winner_count": 1}},
    {"passport_data": {"data": [], "credentials": {"data": "", "hash": "", "secret": ""}}},
    {"text": "/start", "entities": [{"type": "bot_command", "offset": 0, "length": 6}]},
    {"text": "x", "quote": {"text": "x", "position": 0}, "effect_id": "1", "author_signature": "A"},
)  # fmt: skip


def stolen(phone: str) -> dict[str, Json]:
    """A phone shared in every way that proves nothing, by name; each shall link nobody."""
    card = contact(phone)
    shared = message(contact=card)
    origin = {"type": "user", "date": NOW, "sender_user": user()}
    return {
        "somebody else's": {"message": message(contact=contact(phone, OTHER))},
        "nobody's": {"message": message(contact=contact(phone, None))},
        "forwarded": {"message": {**shared, "forward_origin": origin}},
        "forwarded, before Bot API 7.0": {"message": {**shared, "forward_from": user(OTHER), "forward_date": NOW}},
        "forwarded, hidden": {"message": {**shared, "forward_sender_name": "Ann", "forward_date": NOW}},
        "by way of a bot": {"message": {**shared, "via_bot": user(1, is_bot=True)}},
        "by a bot": {"message": message(contact=contact(phone), **{"from": user(is_bot=True)})},
        "in nobody's name": {"message": {name: value for name, value in shared.items() if name != "from"}},
        "in a chat of another": {"message": {**shared, "chat": private(OTHER)}},
        "in a group": {"message": {**shared, "chat": group("group")}},
        "in a supergroup": {"message": {**shared, "chat": group()}},
        "in a channel": {"message": {**shared, "chat": group("channel")}},
        "for a channel": {"message": {**shared, "sender_chat": group("channel")}},
        "by a business bot": {"message": {**shared, "sender_business_bot": user(1, is_bot=True)}},
        "in a business chat": {"message": {**shared, "business_connection_id": "b"}},
        "as a channel's post": {"channel_post": {**shared, "chat": group("channel")}},
        "edited": {"edited_message": {**shared, "edit_date": NOW}},
        "edited, as a message": {"message": {**shared, "edit_date": NOW}},
        "as an edited post": {"edited_channel_post": shared},
        "of a business": {"business_message": {**shared, "business_connection_id": "b"}},
        "of a business, edited": {"edited_business_message": {**shared, "business_connection_id": "b"}},
        "answered to": {"message": message(text="mine", reply_to_message=shared)},
        "answered to elsewhere": {
            "message": message(text="mine", external_reply={"origin": origin, "contact": card})
        },
        "pinned": {"message": message(pinned_message=shared)},
        "below a button": {
            "callback_query": {"id": "1", "from": user(), "chat_instance": "1", "message": shared, "data": "x"}
        },
    }


def own(phone: str) -> Json:
    """The one way that counts."""
    return {"message": message(contact=contact(phone))}


@st.composite
def events(draw: st.DrawFn, phone: str) -> Json:
    """One update: what it is of, and what is in it."""
    kind = draw(st.sampled_from(KINDS))
    if draw(st.integers(0, 3)) == 0:
        return copy.deepcopy(draw(st.sampled_from(list(stolen(phone).values()))))
    content = copy.deepcopy(draw(st.sampled_from(CONTENTS) | texts.map(lambda text: {"text": text})))
    place = draw(st.sampled_from([private(), private(OTHER), group("group"), group("channel")]))
    whole = message(**content) | {"chat": place}
    if kind == "callback_query":
        data = st.sampled_from(["tap:01K8N1VMPN0EE389K72YW0CBM2:42", "deny:01K8N1VMPN0EE389K72YW0CBM2"]) | texts
        query = {"id": draw(texts), "from": user(), "chat_instance": "1", "data": draw(data)}
        more: Json = draw(
            st.sampled_from([
                {"message": whole},
                {"message": {"chat": private(), "message_id": 5, "date": 0}},
                {"inline_message_id": "i"},
                {"game_short_name": "g"},
                {},
            ])
        )  # fmt: skip
        return {kind: query | more}
    if kind in ("my_chat_member", "chat_member"):
        status = st.sampled_from(["member", "kicked", "left", "restricted", "administrator", "creator", "?"])
        old, new = ({"status": draw(status), "user": user(1, is_bot=True), "until_date": 0} for _ in range(2))
        return {kind: {"chat": place, "from": user(), "date": NOW, "old_chat_member": old, "new_chat_member": new}}
    if kind in ("inline_query", "chosen_inline_result"):
        return {kind: {"id": "1", "result_id": "1", "from": user(), "query": draw(texts), "offset": ""}}
    return {kind: whole}


@st.composite
def updates(draw: st.DrawFn, phone: str) -> Any:
    """An update with up to three parts of it gone or replaced by anything."""
    update: Any = draw(events(phone))
    for _ in range(draw(st.integers(0, 3))):
        spoil(draw, update, phone)
    return draw(anything) if draw(st.integers(0, 30)) == 0 else update


def spoil(draw: st.DrawFn, update: Any, phone: str) -> None:
    """Change one part, however deep. Who sent a contact stays: changed, it might be somebody's own."""
    at = update
    while True:
        names = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not names:
            return
        name = draw(st.sampled_from(names))
        deeper = at[name]
        if isinstance(deeper, (dict, list)) and deeper and draw(st.booleans()):
            at = deeper
            continue
        if phone in json.dumps(update):
            return
        if draw(st.booleans()):
            at[name] = draw(anything)
        elif isinstance(at, dict):
            del at[name]
        return


class Bot:
    """The running bot, as updates reach it."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._address = f"{servers.sandbox}/api/bots/{SANDBOX_BOT}/update"
        self.victim = new_phone()
        self._written = len(servers.log("bot"))
        self._asked = 0
        self.fed = 0

    def take(self, update: Any) -> None:
        body = json.dumps(update).encode()
        answer = self._servers.http.post(self._address, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text
        self.fed += 1

    def is_well(self) -> None:
        """It hears who comes next, has noted no defect, and has linked nobody."""
        self._asked += 1
        witness = self._servers.person(new_phone())  # another each time: no count is left over from a failure
        witness.does("text", text="/help")
        witness.hears("I never ask for a code")
        self._has_handled_all()
        new = self._servers.log("bot")[self._written :]
        self._written += len(new.encode("utf-8", "replace"))
        assert "defect" not in new, new
        assert "Traceback" not in new, new
        session = self._servers.create(self.victim, "telegram")
        assert session["channels"][0]["is_active"] is False

    def _has_handled_all(self) -> None:
        """Each chat's updates are handled in their order: a press at the end of each is answered last."""
        pressed = {f"{number}-{self._asked}" for number in (SENDER, OTHER, GROUP)}
        for name in pressed:
            press = {"id": name, "from": user(int(name.rpartition("-")[0])), "chat_instance": "1", "data": "x"}
            self.take({"callback_query": press | {"inline_message_id": "i"}})

        def answered() -> bool:
            calls = self._servers.http.get(f"{self._servers.sandbox}/api/calls").json()
            return pressed <= {call["params"].get("callback_query_id") for call in calls}

        until(answered, "the last press of each chat is answered")


def run(servers: Servers, **settings: Any) -> int:
    """Feed generated updates to the bot; how many it took. `settings` are hypothesis's."""
    bot = Bot(servers)

    @chosen(deadline=None, suppress_health_check=list(HealthCheck), **settings)
    @given(st.lists(updates(bot.victim), min_size=5, max_size=40))
    def feed(some: list[Any]) -> None:
        for update in some:
            bot.take(update)
        bot.is_well()

    play: Callable[[], None] = feed
    play()
    return bot.fed
