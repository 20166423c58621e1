"""The demo site: a home page, "Log in", a profile. It uses the widget the way a partner would."""

import secrets
from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for

from gateway import errors
from gateway.verbs import Caller
from web.widget import this_widget

site = Blueprint("site", __name__)


@site.get("/")
def home() -> Any:
    return render_template("site/home.html", user=session.get("user"), ready=bool(this_widget().demo_key))


@site.get("/login")
def login() -> Any:
    """Send the visitor to the widget, with a state that only this browser can bring back."""
    session["state"] = secrets.token_urlsafe(16)
    return redirect(
        url_for(
            "widget.entry",
            key=this_widget().demo_key,
            return_to=url_for("site.login_done"),
            state=session["state"],
        ),
        303,
    )


@site.get("/login/done")
def login_done() -> Any:
    """The widget sends the browser back here; the token is worth nothing until our server has verified it."""
    state = session.pop("state", "")
    if not state or not secrets.compare_digest(state.encode(), request.args.get("state", "").encode()):
        raise errors.SessionExpired
    gateway = this_widget().gateway
    project, secret = gateway.authenticate(this_widget().demo_secret)
    verified = gateway.verify(Caller(project, secret), request.args.get("verify_token", ""))
    session.clear()
    session["user"] = {"to": verified.to, "channel": verified.channel, "at": verified.verified_at}
    return redirect(url_for("site.profile"), 303)


@site.get("/profile")
def profile() -> Any:
    user = session.get("user")
    if not user:
        return redirect(url_for("site.login"), 303)
    return render_template("site/profile.html", user=user)


@site.post("/logout")
def logout() -> Any:
    """The session cookie is `SameSite=Lax`: another site's form reaches this without it, and ends nothing."""
    session.clear()
    return redirect(url_for("site.home"), 303)
