"""The widget: a contact, a channel, a code. Every step is a plain page and a plain form; the script only smooths.

What a step must know of the one before travels in a signed token, `w`, in the address or the form: no cookie,
so that a frame works where third-party cookies are blocked, and reloading or going back is harmless.
"""

from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from flask import Blueprint, Response, current_app, g, make_response, redirect, render_template, request, url_for

from gateway import errors
from gateway.channels import Channel, SessionChannel
from gateway.clock import Clock
from gateway.contact import Contact, parse_contact
from gateway.i18n import LANGUAGES, N_, translate
from gateway.projects import Project
from gateway.settings import Settings
from gateway.tokens import InvalidToken, LiveClaim, Tokens, live_tokens
from gateway.verbs import Caller, Delivery, Gateway, Progress
from web import fields
from web.phone_entry import phone_field, visitor_region
from web.visitor import browser_name

widget = Blueprint("widget", __name__, url_prefix="/widget")

STATE_SECONDS = 24 * 3600  # a page left open over night still says what happened, instead of "not ours"
SCRIPT_HEADER = "X-Kodgate-Script"  # the script asks; it is told where to go instead of being sent there
LOCATION_HEADER = "X-Kodgate-Location"


class WidgetState(msgspec.Struct, frozen=True, array_like=True):
    """What the steps hand on: who embeds the widget and where it returns to, then whose session it is."""

    project_id: int
    return_to: str
    partner_state: str
    session_id: str = ""
    mask: str = ""
    kind: str = "phone"
    channel: str = ""


class Widget:
    """What the views need, kept beside the Flask app."""

    def __init__(self, gateway: Gateway, config: Settings) -> None:
        self.gateway = gateway
        self.live_url = config.live_url
        self.public_url = config.public_url
        self.example_phone = "+7 952 296-62-36" if config.sandbox else ""
        self.demo_key = config.project_public_key
        self.demo_secret = config.project_secret_key
        self._states = Tokens(gateway.keyring, "widget", WidgetState, STATE_SECONDS, gateway.clock)
        self._live = live_tokens(gateway.keyring, gateway.clock)

    @property
    def clock(self) -> Clock:
        return self.gateway.clock

    def sign(self, state: WidgetState) -> str:
        return self._states.sign(state)

    def read(self, token: str) -> tuple[WidgetState, Project]:
        """The state in a token, and its project. Raises `SessionExpired`."""
        try:
            state, _ = self._states.read(token)
        except InvalidToken:
            raise errors.SessionExpired from None
        project = self.gateway.project(state.project_id)
        if project is None:
            raise errors.SessionExpired
        speak_as(project)
        return state, project

    def live_address(self, state: WidgetState) -> str:
        """Where the browser listens to a session's progress."""
        claim = LiveClaim(state.project_id, state.session_id, g.lang)
        return f"{self.live_url}/live/{self._live.sign(claim)}"


def way_on() -> str:
    """Where a visitor goes on once what is away has come back: this page, or the form's."""
    if request.method == "GET":
        return request.full_path
    step = {"widget.check": "widget.code", "widget.send": "widget.channels"}.get(str(request.endpoint))
    return url_for(step or "widget.entry", w=request.form.get("w", ""))


def speak_as(project: Project) -> None:
    """From here on, this request's pages are in a language of the project's."""
    g.lang = project.settings.language(g.wished)
    g.languages = project.settings.languages or LANGUAGES


def this_widget() -> Widget:
    """The widget of the app that serves this request."""
    extension: Widget = current_app.extensions["kodgate"]
    return extension


# Step 1: the contact


@widget.get("/", strict_slashes=False)
def entry() -> Any:
    """`?key=` the public key, `return_to=` where the browser goes with the token, `state=` echoed there."""
    if token := request.args.get("w"):
        state, project = this_widget().read(token)
    else:
        state, project = _first_state(request.args)
    return _entry_page(state, project, by=request.args.get("by", ""))


@widget.post("/start")
def start() -> Any:
    state, project = _posted_state()
    typed = request.form.get("to", "")
    by = request.form.get("by", "")
    try:
        contact = _read_contact(typed, by)
        created = this_widget().gateway.create(_caller(project), contact, send=False)
    except errors.BadRequest as refusal:
        return _entry_page(state, project, by=by, typed=typed, refusal=refusal)
    except (errors.DestinationBlocked, errors.NoChannels) as refusal:
        return _entry_page(state, project, by=by, typed=typed, refusal=refusal)
    state = msgspec.structs.replace(
        state, session_id=created.session_id, mask=contact.mask, kind=contact.kind, channel=""
    )
    if len(created.channels) == 1:
        return _send(state, project, created.channels[0].type)
    return _go("widget.channels", state)


# Step 2: the channel


@widget.get("/channels")
def channels() -> Any:
    state, project = _asked_state()
    progress = _progress(state, project)
    if progress.state != "live":
        return _over_page(state, progress)
    return render_template("widget/channels.html", **_session_context(state, project, progress))


@widget.post("/send")
def send() -> Any:
    state, project = _posted_state()
    channel = fields.channel(dict(request.form))
    if channel is None:
        return _go("widget.channels", state)
    return _send(state, project, channel)


def _send(state: WidgetState, project: Project, channel: Channel) -> Any:
    state = msgspec.structs.replace(state, channel=channel)
    try:
        this_widget().gateway.send(_caller(project), state.session_id, channel)
    except errors.TooSoon:
        pass  # the code's page shows how long to wait, and the code already sent is still good
    except errors.SessionExpired:
        return _over_page(state, _progress(state, project), status=410)
    return _go("widget.code", state)


# Step 3: the code


@widget.get("/code")
def code() -> Any:
    state, project = _asked_state()
    progress = _progress(state, project)
    if progress.state != "live":
        return _over_page(state, progress)
    return _code_page(state, project, progress)


@widget.post("/check")
def check() -> Any:
    state, project = _posted_state()
    try:
        checked = this_widget().gateway.check(_caller(project), state.session_id, request.form.get("code", ""))
    except (errors.WrongCode, errors.BadRequest) as refusal:
        progress = _progress(state, project)
        if progress.state != "live":
            return _over_page(state, progress, status=422)
        return _code_page(state, project, progress, refusal)
    except errors.SessionExpired:
        return _over_page(state, _progress(state, project), status=410)
    return _done(state, checked.verify_token)


def _done(state: WidgetState, verify_token: str) -> Any:
    if not state.return_to:
        return render_template("widget/done.html", mask=state.mask)
    query = {"verify_token": verify_token}
    if state.partner_state:
        query["state"] = state.partner_state
    address = state.return_to + ("&" if "?" in state.return_to else "?") + urlencode(query)
    if SCRIPT_HEADER in request.headers:
        return Response(status=204, headers={LOCATION_HEADER: address})
    return redirect(address, 303)


# Pages


def _entry_page(
    state: WidgetState,
    project: Project,
    *,
    by: str,
    typed: str = "",
    refusal: errors.GatewayError | None = None,
) -> Any:
    kinds = {channel.type.kind for channel in this_widget().gateway.channels(_caller(project))}
    if by not in kinds:
        by = "phone" if "phone" in kinds else "email"
    page = render_template(
        "widget/entry.html",
        w=this_widget().sign(state),
        project=project.settings.name,
        by=by,
        kinds=kinds,
        typed=typed,
        example=this_widget().example_phone,
        phone=phone_field() if by == "phone" else None,
        problem=_sentence(refusal),
        start_url=url_for("widget.entry"),
    )
    response = make_response(page, refusal.status if refusal else 200)
    if isinstance(refusal, errors.TooSoon):
        response.headers["Retry-After"] = str(refusal.timeout)
    return response


def _code_page(
    state: WidgetState, project: Project, progress: Progress, refusal: errors.GatewayError | None = None
) -> Any:
    _allow_form_target(state)
    context = _session_context(state, project, progress)
    carrier = _carrier(state.channel, progress.instead_of)
    channel = next((face for face in progress.channels if face.type == carrier), None)
    if channel is None:
        return _go("widget.channels", state)
    page = render_template(
        "widget/code.html",
        **context,
        channel=channel,
        gave_up=state.channel if carrier != state.channel else "",
        delivery=progress.deliveries.get(channel.type),
        length=progress.code_length,
        digits_only=not project.settings.letters,
        problem=_sentence(refusal),
    )
    return make_response(page, refusal.status if refusal else 200)


def _over_page(state: WidgetState, progress: Progress | None, status: int = 200) -> Any:
    over = progress.state if progress else "expired"
    page = render_template(
        "widget/over.html",
        over="expired" if over == "live" else over,
        again=_address("widget.entry", _fresh(state)),
    )
    return make_response(page, status)


def _session_context(state: WidgetState, project: Project, progress: Progress) -> dict[str, Any]:
    this = this_widget()
    return {
        "w": this.sign(state),
        "project": project.settings.name,
        "mask": state.mask,
        "channels": progress.channels,
        "deliveries": progress.deliveries,
        "last": _last_channel(progress.channels, progress.deliveries),
        "live": this.live_address(state),
        "expires_in": max(0, (progress.expires_at - this.clock()) // 1000),
        "again": _address("widget.entry", _fresh(state)),
        "channels_url": _address("widget.channels", state),
    }


# State


def _first_state(args: Any) -> tuple[WidgetState, Project]:
    project, _ = this_widget().gateway.authenticate(args.get("key"))
    speak_as(project)
    return_to = args.get("return_to", "")
    if return_to and not _may_return_to(project, return_to):
        raise errors.BadRequest("return_to", N_("is not an address of this project's site"))
    return WidgetState(project.id, return_to, args.get("state", "")[:500]), project


def _may_return_to(project: Project, return_to: str) -> bool:
    """Only to our own pages or the project's origins: anything else would be an open redirect."""
    parts = urlsplit(return_to)
    if any(character in return_to for character in "\\\r\n\t") or parts.fragment:
        return False
    if not parts.scheme and not parts.netloc:
        return return_to.startswith("/") and not return_to.startswith("//")
    return f"{parts.scheme}://{parts.netloc}" in (*project.settings.origins, this_widget().public_url)


def _allow_form_target(state: WidgetState) -> None:
    """A browser follows the last form's redirect only to origins that the page's policy names."""
    parts = urlsplit(state.return_to)
    g.form_origins = [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []


def _asked_state() -> tuple[WidgetState, Project]:
    return this_widget().read(request.args.get("w", ""))


def _posted_state() -> tuple[WidgetState, Project]:
    return this_widget().read(request.form.get("w", ""))


def _fresh(state: WidgetState) -> WidgetState:
    return WidgetState(state.project_id, state.return_to, state.partner_state)


def _progress(state: WidgetState, project: Project) -> Progress:
    return this_widget().gateway.progress(_caller(project), state.session_id)


def _caller(project: Project) -> Caller:
    return Caller(project, lang=g.lang, browser=browser_name(request.headers.get("User-Agent", "")))


def _go(view: str, state: WidgetState) -> Any:
    return redirect(_address(view, state), 303)


def _address(view: str, state: WidgetState) -> str:
    return url_for(view, w=this_widget().sign(state))


def _read_contact(typed: str, by: str) -> Contact:
    """What stands in the field, a phone or an email as `by` says. Raises `BadRequest`."""
    if by != "email":
        return parse_contact(typed, region=visitor_region())
    if typed and "@" not in typed:
        raise errors.BadRequest("to", N_("is not an email address"))
    return parse_contact(typed)


def _carrier(chosen: str, instead_of: dict[Channel, Channel]) -> str:
    """The channel that carries the code by now, for the one that the visitor chose."""
    takers: dict[str, str] = {former: taker for taker, former in instead_of.items()}
    for _ in Channel:  # more hand-overs than there are channels would be a ring
        if chosen not in takers:
            break
        chosen = takers[chosen]
    return chosen


def _last_channel(channels: list[SessionChannel], deliveries: dict[Channel, Delivery]) -> SessionChannel | None:
    return next((channel for channel in channels if channel.type in deliveries), None)


def _sentence(refusal: errors.GatewayError | None) -> str:
    """A refusal as the widget says it: the field's name would tell a visitor nothing."""
    if refusal is None:
        return ""
    if isinstance(refusal, errors.BadRequest):
        reason = refusal.why(g.lang)
        return translate(g.lang, N_("This %(reason)s."), reason=reason) if _continues(refusal) else reason
    return refusal.text(g.lang)


def _continues(refusal: errors.BadRequest) -> bool:
    return refusal.reason.startswith(("is ", "must "))
