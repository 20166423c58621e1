"""What the steps hand on, in a signed token: with no cookie, a frame works where third-party ones are blocked."""

import msgspec
from flask import current_app, g

from gateway import errors
from gateway.clock import Clock
from gateway.i18n import LANGUAGES
from gateway.projects import Project
from gateway.settings import Settings
from gateway.tokens import InvalidToken, LiveClaim, Tokens, live_tokens
from gateway.verbs import Gateway
from web.address import Visitors
from web.challenge import Challenges
from web.widget.theme import Theme

STATE_SECONDS = 24 * 3600  # a page left open over night still says what happened, instead of "not ours"


class WidgetState(msgspec.Struct, frozen=True, array_like=True):
    """Who embeds the widget, how it looks and where it returns to; then whose session it is.

    `origin` is the page that shows the frame (`https://shop.example.com`), empty for a page of its own. All of
    this may be in an address, so none of it proves which browser it is (see web.widget.browser). `to` is the
    contact that the page which embeds it knows already, until the visitor has said theirs.
    """

    project_id: int
    return_to: str
    partner_state: str
    session_id: str = ""
    mask: str = ""
    kind: str = "phone"
    channel: str = ""
    origin: str = ""
    lang: str = ""
    flow: str = ""
    theme: Theme = Theme()
    time_zone: str = ""
    to: str = ""

    @property
    def fresh(self) -> "WidgetState":
        """The same without its session."""
        return msgspec.structs.replace(self, session_id="", mask="", kind="phone", channel="")


class Widget:
    """What the views need, kept beside the Flask app."""

    def __init__(self, gateway: Gateway, config: Settings) -> None:
        self.gateway = gateway
        self.live_url = config.live_url
        self.public_url = config.public_url
        self.production = config.production
        self.country_header = config.country_header
        self.example_phone = "+7 952 296-62-36" if config.sandbox else ""
        self.demo_key = config.project_public_key
        self.demo_secret = config.project_secret_key
        self.challenges = Challenges(gateway, config)
        self.visitors = Visitors(config)
        self._states = Tokens(gateway.keyring, "widget", WidgetState, STATE_SECONDS, gateway.clock)
        self._live = live_tokens(gateway.keyring, gateway.clock)

    @property
    def clock(self) -> Clock:
        return self.gateway.clock

    def sign(self, state: WidgetState) -> str:
        """The token of a state, from here on in the language that this request's page is in."""
        return self._states.sign(msgspec.structs.replace(state, lang=g.lang))

    def read(self, token: str) -> tuple[WidgetState, Project]:
        """The state in a token, and its project. Raises `SessionExpired`."""
        try:
            state, _ = self._states.read(token)
        except InvalidToken:
            raise errors.SessionExpired from None
        project = self.gateway.project(state.project_id)
        if project is None:
            raise errors.SessionExpired
        enter(state, project)
        return state, project

    def live_address(self, state: WidgetState) -> str:
        """Where the browser listens to a session's progress."""
        claim = LiveClaim(state.project_id, state.session_id, g.lang)
        return f"{self.live_url}/live/{self._live.sign(claim)}"


def this_widget() -> Widget:
    """The widget of the app that serves this request."""
    extension: Widget = current_app.extensions["kodgate"]
    return extension


def enter(state: WidgetState, project: Project) -> None:
    """From here on, this request's page is the project's: its languages, challenge, colours and frames."""
    wished = g.wished if g.lang_asked or not state.lang else state.lang
    g.lang = project.settings.language(wished)
    g.languages = project.settings.languages or LANGUAGES
    g.theme = state.theme
    g.framed_by = state.origin
    g.return_to = state.return_to
    g.time_zone = state.time_zone
    g.project = project
    g.challenge = this_widget().challenges.offer(project)
