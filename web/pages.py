"""The Flask app: what people look at."""

import gzip
import logging
import re
import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, g, make_response, render_template, request
from jinja2 import StrictUndefined
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from gateway import errors
from gateway.i18n import DEFAULT_LANGUAGE, LANGUAGES, catalogue, direction, wished_language
from gateway.metrics import NOT_SHOWN, may_read
from gateway.metrics import PATH as METRICS
from gateway.settings import ROOT, Settings
from gateway.store import Busy
from gateway.verbs import Gateway
from web.assets import Assets
from web.challenge import foreign_script
from web.developers import developers
from web.phone_entry import phone_entry
from web.site import site
from web.widget import Widget, way_on, widget
from web.widget.browser import is_framed
from web.widget.embedding import form_targets, frame_ancestors
from web.widget.theme import Theme

log = logging.getLogger(__name__)

LANGUAGE_NAMES = {
    "en": "English",
    "ru": "Русский",
    "uk": "Українська",
    "kk": "Қазақша",
    "uz": "Oʻzbekcha",
    "es": "Español",
    "de": "Deutsch",
    "tr": "Türkçe",
}
LANGUAGE_COOKIE = "kodgate_lang"
_NUMBER = re.compile(r"(\+\d(?:[\d ()-]*\d)?)")
_YEAR = 365 * 24 * 3600
_WORTH_ZIPPING = 600  # bytes: below, the headers outweigh the gain


def make_site(gateway: Gateway, config: Settings, assets: Assets) -> Flask:
    """The site, the widget and /healthz."""
    app = Flask("web", template_folder=str(ROOT / "templates"), static_folder=None)
    signing = gateway.keyring.tokens("cookie")
    app.config.update(
        SECRET_KEY=signing[-1],
        SECRET_KEY_FALLBACKS=signing[:-1],
        SESSION_COOKIE_NAME="kodgate",
        SESSION_COOKIE_SECURE=config.public_url.startswith("https:"),
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=config.body_limit,
    )
    app.extensions["kodgate"] = Widget(gateway, config)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: catalogue(g.lang).gettext(text),
        lambda one, many, count: catalogue(g.lang).ngettext(one, many, count),
        newstyle=True,
    )
    app.jinja_env.globals.update(
        asset=assets.url,
        direction=direction,
        icon=lambda name: Markup(assets.text(f"icons/{name}.svg")),  # noqa: S704 - our own files
        language_names=LANGUAGE_NAMES,
        sandbox_url=config.sandbox_url if config.sandbox else "",
        with_lang=_with_lang,
    )
    app.jinja_env.filters["ltr"] = _left_to_right
    app.jinja_env.filters["with_numbers"] = _with_numbers
    app.register_blueprint(site)
    app.register_blueprint(developers)
    app.register_blueprint(widget)
    app.register_blueprint(phone_entry)
    app.before_request(_choose_language)
    app.before_request(_refuse_foreign_forms)
    app.after_request(_finish)
    app.register_error_handler(errors.GatewayError, _refused)
    app.register_error_handler(Busy, lambda _: _refused(errors.Unavailable(timeout=1)))
    app.register_error_handler(HTTPException, _http_error)
    if not config.production:
        app.config["TEMPLATES_AUTO_RELOAD"] = True

    if config.metrics_token:

        @app.get(METRICS)
        def metrics() -> Response:
            """For Prometheus: what all of this web's workers counted."""
            if not may_read(config.metrics_token, request.headers.get("Authorization", "")):
                return Response(status=401, headers=NOT_SHOWN)
            body, kind = gateway.metrics.page()
            return Response(body, content_type=kind)

    @app.get("/healthz")
    def healthz() -> Any:
        if problem := gateway.ping():
            return {"status": "failing", "gateway": problem}, 503
        return {"status": "ok", "process": "web"}

    return app


def _choose_language() -> None:
    asked = request.args.get("lang")
    g.wished = wished_language(asked, request.cookies.get(LANGUAGE_COOKIE), request.headers.get("Accept-Language"))
    g.lang = g.wished or DEFAULT_LANGUAGE
    g.languages = LANGUAGES
    g.lang_asked = wished_language(asked) is not None
    g.nonce = secrets.token_urlsafe(16)
    g.theme = Theme()
    g.framed_by = g.return_to = g.time_zone = ""
    g.complaints = []


def _refuse_foreign_forms() -> None:
    """No form of another site is taken (CSRF): browsers say in Sec-Fetch-Site whose it is (W3C Fetch Metadata).

    Those from before 2023 don't; there, what a form needs is a signed state and SameSite cookies as before.
    """
    whose = request.headers.get("Sec-Fetch-Site", "same-origin")
    if request.method not in ("GET", "HEAD", "OPTIONS") and whose not in ("same-origin", "none"):
        raise errors.ForeignOrigin


def _with_lang(lang: str) -> str:
    """This page's address in another language."""
    args = {name: value for name, value in request.args.items() if name != "lang"}
    return "?" + urlencode({**args, "lang": lang})


def _left_to_right(text: str) -> Markup:
    """A number or a mask, which reads from left to right whatever language stands around it."""
    return Markup('<bdi dir="ltr">{}</bdi>').format(text)


def _with_numbers(sentence: str) -> Markup:
    """A sentence whose phone numbers read from left to right, and which a line's end can't cut in two."""
    parts = _NUMBER.split(sentence)
    return Markup("").join(_left_to_right(part) if odd % 2 else part for odd, part in enumerate(parts))


def _finish(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", _policy())
    if request.blueprint != "widget":
        headers.setdefault("X-Frame-Options", "SAMEORIGIN")
        if "Access-Control-Allow-Origin" not in headers:
            headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Cache-Control", "no-store")
    if getattr(g, "lang_asked", False) and not getattr(g, "framed_by", ""):
        secure = _widget().public_url.startswith("https:")
        response.set_cookie(LANGUAGE_COOKIE, g.wished, max_age=_YEAR, samesite="Lax", httponly=True, secure=secure)
    headers.setdefault("Content-Language", getattr(g, "lang", "en"))
    return _zip(response)


def _policy() -> str:
    """The page's policy (CSP 3). Nothing runs but our own scripts, by nonce, and none of them writes markup."""
    live = urlsplit(_widget().live_url)
    nonce = f"'nonce-{getattr(g, 'nonce', '')}'"
    policy = {
        "default-src": ["'none'"],
        "style-src": ["'self'", nonce],
        "script-src": [nonce],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'", f"{live.scheme}://{live.netloc}"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *form_targets()],
        "frame-ancestors": [_ancestors()],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["'none'"],
    }
    policy |= foreign_script(getattr(g, "challenge", None), policy)
    return "; ".join(" ".join([directive, *sources]) for directive, sources in policy.items() if sources)


def _ancestors() -> str:
    if request.blueprint != "widget":
        return "'self'"
    # A page that refuses, or says that nothing can be served, holds nothing to be pressed: any page may show it.
    return frame_ancestors() if getattr(g, "project", None) and not getattr(g, "refused", False) else "*"


def _zip(response: Response) -> Response:
    response.headers.add("Vary", "Accept-Encoding")
    wanted = "gzip" in request.headers.get("Accept-Encoding", "")
    if not wanted or response.direct_passthrough or (response.content_length or 0) < _WORTH_ZIPPING:
        return response
    response.set_data(gzip.compress(response.get_data(), 5, mtime=0))
    response.headers["Content-Encoding"] = "gzip"
    return response


def _refused(refusal: errors.GatewayError) -> Response:
    log.info("%s: %s: %s", request.endpoint, refusal.sys_message, refusal.text(DEFAULT_LANGUAGE))
    endpoint = str(request.endpoint).replace(".", " ").replace("_", " ")
    _widget().gateway.refused("widget", f"page.{endpoint}", refusal, getattr(g, "project", None))
    # Of too many, an account tells in the middle of a login, which goes on when it takes more.
    if request.blueprint == "widget" and isinstance(refusal, errors.Unavailable | errors.TooOften):
        page = render_template("widget/away.html", text=refusal.text(g.lang), again=way_on())
    elif not is_framed():
        page = render_template("site/problem.html", text=refusal.text(g.lang))
    else:
        g.refused = True
        page = render_template("widget/problem.html", text=refusal.text(g.lang))
    response = make_response(page, refusal.status)
    if "timeout" in refusal.params:
        response.headers["Retry-After"] = str(refusal.params["timeout"])
    return response


def _http_error(problem: HTTPException) -> Response:
    refusal: errors.GatewayError = errors.GatewayError()
    if problem.code == 404:
        refusal = errors.NotFound()
    elif problem.code == 405:
        refusal = errors.MethodNotAllowed()
    response = make_response(render_template("site/problem.html", text=refusal.text(g.lang)), problem.code or 500)
    for name, value in problem.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _widget() -> Widget:
    from flask import current_app

    extension: Widget = current_app.extensions["kodgate"]
    return extension
