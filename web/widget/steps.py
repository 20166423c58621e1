"""The steps as a visitor meets them."""

import logging
from typing import Any

import msgspec
from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for

from gateway import errors
from gateway.bill.countries import regions_of
from gateway.channels import Channel
from gateway.contact import Contact, parse_contact
from gateway.i18n import DEFAULT_LANGUAGE, N_, translate
from gateway.projects import Project
from gateway.verbs import Caller, Created, Progress
from web import fields
from web.phone_entry import at_home, phone_field, visitor_region
from web.visitor import browser_name, place_of
from web.widget.browser import browser_key, remember_browser
from web.widget.embedding import LONGEST_ZONE, first_state, way_back
from web.widget.qr import qr_code
from web.widget.state import WidgetState, this_widget

log = logging.getLogger(__name__)

widget = Blueprint("widget", __name__, url_prefix="/widget")

SCRIPT_HEADER = "X-Kodgate-Script"  # the script asks; it is told where to go instead of being sent there
LOCATION_HEADER = "X-Kodgate-Location"
CHANNEL_FIRST = "channel-first"


def way_on() -> str:
    """Where a visitor goes on once what is away has come back: this page, or the form's."""
    if request.method == "GET":
        return request.full_path
    step = {"widget.check": "widget.code", "widget.send": "widget.code", "widget.collect": "widget.code"}
    return url_for(step.get(str(request.endpoint), "widget.entry"), w=request.form.get("w", ""))


# The contact; in the channel-first flow, after the channel


@widget.get("/", strict_slashes=False)
def entry() -> Any:
    """What a partner links to, or shows in a frame; see `first_state` for its parameters."""
    if token := request.args.get("w"):
        state, project = this_widget().read(token)
    else:
        state, project = first_state(request.args)
        if state.flow == CHANNEL_FIRST:
            return _channels_page(state, project)
    return _entry_page(state, project, by=request.args.get("by") or _kind_of(state.to))


@widget.get("/channels")
def channels() -> Any:
    """The channel-first flow's beginning."""
    return _channels_page(*_asked_state())


@widget.post("/channels")
def choose() -> Any:
    state, _ = _posted_state()
    channel = fields.channel(dict(request.form))
    if channel is None:
        return _go("widget.channels", state)
    return _go("widget.entry", msgspec.structs.replace(state, channel=channel, kind=channel.kind))


@widget.post("/start")
def start() -> Any:
    state, project = _posted_state()
    typed, by = request.form.get("to", ""), request.form.get("by", "")
    zone = request.form.get("time_zone", "")[:LONGEST_ZONE]
    state = msgspec.structs.replace(state, time_zone=zone or state.time_zone)
    try:
        contact = _read_contact(typed, by)
        chosen = Channel(state.channel) if state.channel else None
        caller = msgspec.structs.replace(_caller(project, state), challenge=request.form.get("challenge", ""))
        created = this_widget().gateway.create(caller, contact, chosen)
    except (
        errors.BadRequest,
        errors.TooSoon,
        errors.NoChannels,
        errors.NoChannel,
        errors.ChannelCannotReach,
        errors.CountryNotAllowed,
        errors.ChallengeRequired,
        errors.ChallengeUnavailable,
    ) as refusal:
        if isinstance(refusal, errors.ChallengeRequired):
            g.challenge = this_widget().challenges.offer(project, demanded=True)
        again = msgspec.structs.replace(state.fresh, channel=state.channel, kind=state.kind)
        return _entry_page(again, project, by=by, typed=typed, refusal=refusal)
    sent_to = created.sent_to if created.sent_to in tuple(Channel) else _first_channel(created)
    return _go(
        "widget.code",
        msgspec.structs.replace(
            state, session_id=created.session_id, mask=contact.mask, kind=contact.kind, channel=sent_to, to=""
        ),
    )


@widget.get("/challenge")
def challenge() -> Any:
    """An ALTCHA challenge for the form's script."""
    _, project = _asked_state()
    return this_widget().gateway.new_challenge(project)


# The code, or a tap in Telegram


@widget.get("/code")
def code() -> Any:
    state, project = _asked_state()
    progress = _progress(state, project)
    if progress.state == "approved":
        return _approved_page(state)
    if progress.state != "live":
        return _over_page(state, progress)
    return _code_page(state, project, progress)


@widget.post("/send")
def send() -> Any:
    """By another channel, or once more."""
    state, project = _posted_state()
    channel = fields.channel(dict(request.form))
    if channel is None:
        return _go("widget.code", state)
    before, state = state, msgspec.structs.replace(state, channel=channel)
    try:
        this_widget().gateway.send(_caller(project, state), state.session_id, channel)
    except (errors.NoChannel, errors.CountryNotAllowed) as refusal:  # closed since the page was made
        return _code_page(before, project, _progress(before, project), refusal)
    except (errors.TooOften, errors.DestinationBlocked) as refusal:
        return _code_page(state, project, _progress(state, project), refusal)
    except errors.TooSoon:
        pass  # the code's page shows how long to wait, and the code already sent is still good
    except errors.SessionExpired:
        return _over_page(state, _progress(state, project), status=410)
    return _go("widget.code", state)


@widget.post("/check")
def check() -> Any:
    state, project = _posted_state()
    caller = _caller(project, state)
    try:
        checked = this_widget().gateway.check(caller, state.session_id, request.form.get("code", ""))
    except (errors.WrongCode, errors.BadRequest, errors.TooSoon) as refusal:
        progress = _progress(state, project)
        if progress.state != "live":
            return _over_page(state, progress, status=422)
        return _code_page(state, project, progress, refusal)
    except errors.SessionExpired:
        progress = _progress(state, project)
        if progress.state == "approved":  # typed a moment after the tap: it is this browser's to collect
            return _go("widget.code", state)
        return _over_page(state, progress, status=410)
    return _done(state, checked.verify_token)


@widget.post("/collect")
def collect() -> Any:
    """The number was picked in Telegram: the browser that began the session gets its token."""
    state, project = _posted_state()
    try:
        checked = this_widget().gateway.collect(_caller(project, state), state.session_id)
    except errors.SessionExpired:
        return _over_page(state, _progress(state, project), status=410)
    return _done(state, checked.verify_token)


def _done(state: WidgetState, verify_token: str) -> Any:
    """A frame tells the page around it, which goes on by itself; a page of its own goes back."""
    address = way_back(state, verify_token)
    if state.origin or not address:
        return render_template(
            "widget/done.html",
            mask=state.mask,
            verify_token=verify_token if state.origin else "",
            partner_state=state.partner_state,
            way_back=address,
        )
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
    if refusal:
        log.info("%s: %s: %s", request.endpoint, refusal.sys_message, refusal.text(DEFAULT_LANGUAGE))
    channels = [channel.type for channel in this_widget().gateway.channels(_caller(project, state))]
    kinds: set[str] = {channel.kind for channel in channels}
    if state.channel:
        kinds = {state.kind}
    if by not in kinds:
        by = "phone" if "phone" in kinds else "email"
    region = ""
    if not typed and by == _kind_of(state.to):
        region, typed = at_home(state.to) if by == "phone" else ("", state.to)
    page = render_template(
        "widget/entry.html",
        w=this_widget().sign(state),
        project=project.settings.name,
        by=by,
        kinds=kinds,
        channel=state.channel,
        typed=typed,
        example=this_widget().example_phone,
        phone=phone_field(_countries(state, project, channels), region) if by == "phone" else None,
        problem=_sentence(refusal),
    )
    return remember_browser(_refused(page, refusal))


def _countries(state: WidgetState, project: Project, channels: list[Channel]) -> frozenset[str]:
    """Where a phone can be from to get a code by these channels; empty: anywhere, as to Telegram's bot."""
    offered = [one for one in channels if one.kind == "phone" and state.channel in ("", one)]
    regions = [regions_of(project.settings.countries_of(one)) for one in offered]
    if Channel.TELEGRAM in offered or not all(regions):
        return frozenset()
    return frozenset().union(*regions)


def _refused(page: str, refusal: errors.GatewayError | None) -> Response:
    response = make_response(page, refusal.status if refusal else 200)
    if isinstance(refusal, errors.TooSoon):
        response.headers["Retry-After"] = str(refusal.timeout)
    return response


def _channels_page(state: WidgetState, project: Project) -> Any:
    state = state.fresh
    return render_template(
        "widget/channels.html",
        w=this_widget().sign(state),
        here=_address("widget.channels", state),
        project=project.settings.name,
        channels=this_widget().gateway.channels(_caller(project, state)),
    )


def _code_page(
    state: WidgetState, project: Project, progress: Progress, refusal: errors.GatewayError | None = None
) -> Any:
    carrier = _carrier(state.channel, progress.instead_of)
    channel = next((face for face in progress.channels if face.type == carrier), None)
    if channel is None:
        return _go("widget.entry", state.fresh)
    this = this_widget()
    page = render_template(
        "widget/code.html",
        w=this.sign(state),
        project=project.settings.name,
        mask=state.mask,
        channels=progress.channels,
        live=this.live_address(state),
        expires_in=_seconds_left(progress),
        again=_beginning(state),
        channel=channel,
        qr=qr_code(channel.link) if channel.type == "telegram" and not channel.is_active else "",
        number=progress.number,
        gave_up=state.channel if carrier != state.channel else "",
        delivery=progress.deliveries.get(channel.type),
        length=progress.code_length,
        discreet=project.settings.discreet,
        digits_only=not project.settings.letters,
        problem=_sentence(refusal),
    )
    return _refused(page, refusal)


def _approved_page(state: WidgetState) -> Any:
    return render_template("widget/approved.html", w=this_widget().sign(state))


def _over_page(state: WidgetState, progress: Progress, status: int = 200) -> Any:
    over = {"live": "expired", "approved": "elsewhere"}.get(progress.state, progress.state)
    page = render_template("widget/over.html", over=over, again=_beginning(state))
    return make_response(page, status)


# State


def _asked_state() -> tuple[WidgetState, Project]:
    return this_widget().read(request.args.get("w", ""))


def _posted_state() -> tuple[WidgetState, Project]:
    return this_widget().read(request.form.get("w", ""))


def _progress(state: WidgetState, project: Project) -> Progress:
    return this_widget().gateway.progress(_caller(project, state), state.session_id)


def _first_channel(created: Created) -> Channel:
    if not created.channels:  # a hosted account may answer so
        raise errors.NoChannels
    return created.channels[0].type


def _seconds_left(progress: Progress) -> int:
    return max(0, (progress.expires_at - this_widget().clock()) // 1000)


def _caller(project: Project, state: WidgetState) -> Caller:
    return Caller(
        project,
        lang=g.lang,
        browser=browser_name(request.headers.get("User-Agent", "")),
        browser_key=browser_key(),
        address=this_widget().visitors.address(request.environ),
        place=place_of(request.headers.get(this_widget().country_header), state.time_zone),
    )


def _go(view: str, state: WidgetState) -> Any:
    return redirect(_address(view, state), 303)


def _address(view: str, state: WidgetState) -> str:
    return url_for(view, w=this_widget().sign(state))


def _beginning(state: WidgetState) -> str:
    """Where a new login begins, for the same partner."""
    return _address("widget.channels" if state.flow == CHANNEL_FIRST else "widget.entry", state.fresh)


def _kind_of(to: str) -> str:
    """`phone` or `email`, empty for none."""
    return ("email" if "@" in to else "phone") if to else ""


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
