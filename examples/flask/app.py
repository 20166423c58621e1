"""A site whose visitors log in by Kodgate: copy `verify` and `login_done`, and the form in templates/home.html."""

import hmac
import os
import secrets

import httpx
from flask import Flask, redirect, render_template, request, session, url_for

KODGATE_URL = os.environ.get("KODGATE_URL", "http://localhost:8000")
PUBLIC_KEY = os.environ.get("KODGATE_PUBLIC_KEY", "pk_development")
SECRET_KEY = os.environ.get("KODGATE_SECRET_KEY", "sk_development")
SITE_URL = os.environ.get("SITE_URL", "http://localhost:8011")
POLICY = (
    f"default-src 'self'; script-src {KODGATE_URL}; frame-src {KODGATE_URL}; "
    f"form-action 'self' {KODGATE_URL}; base-uri 'none'; frame-ancestors 'none'"
)

app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(),  # a passing one ends all sessions at a restart
    SESSION_COOKIE_NAME="partner_flask",
    SESSION_COOKIE_SECURE=SITE_URL.startswith("https://"),
    SESSION_COOKIE_SAMESITE="Lax",  # with Strict it would not come along from Kodgate to /login/done
)


class TokenRefused(Exception):
    """Forged, expired, used before, or another project's."""


def verify(token: str) -> str:
    """The phone or email whose login this token proves. Raises `TokenRefused`, `httpx.HTTPError`."""
    answer = httpx.post(
        f"{KODGATE_URL}/session/verify",
        json={"verify_token": token},
        headers={"x-api-key": SECRET_KEY},
        timeout=10,
    )
    if answer.status_code in (400, 410):
        raise TokenRefused
    answer.raise_for_status()
    return answer.json()["to"]


@app.get("/login/done")
def login_done():
    """Kodgate sends the browser here: `?verify_token=&state=`."""
    expected = session.get("state", "")
    given = request.args.get("state", "")
    if not expected or not hmac.compare_digest(expected.encode(), given.encode()):
        return problem("This login was not begun here, or not in this browser.", 403)
    del session["state"]  # each is good for one login
    try:
        user = verify(request.args.get("verify_token", ""))
    except TokenRefused:
        return problem("This login has expired or was used already.", 403)
    except (httpx.HTTPError, ValueError, KeyError):
        app.logger.exception("Kodgate cannot verify")
        return problem("We cannot check your login at the moment.", 502)
    session.clear()  # nothing from before the login goes on
    session.update(user=user, csrf=secrets.token_urlsafe())
    return redirect(url_for("home"), 303)


@app.post("/logout")
def logout():
    if not hmac.compare_digest(session.get("csrf", "").encode(), request.form.get("csrf", "").encode()):
        return problem("This form is out of date.", 403)
    session.clear()
    return redirect(url_for("home"), 303)


@app.get("/")
def home():
    return render_template("home.html", **login_form())


@app.get("/inline")
def inline():
    return render_template("inline.html", **login_form())


def login_form():
    """What the login form needs; the state ties the login to this browser."""
    if "user" in session:
        return {}
    return {
        "kodgate": KODGATE_URL,
        "public_key": PUBLIC_KEY,
        "return_to": SITE_URL + url_for("login_done"),
        "state": session.setdefault("state", secrets.token_urlsafe()),
    }


def problem(text: str, status: int):
    return render_template("problem.html", text=text), status


@app.after_request
def protect(response):
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")  # the pages hold the session's secrets
    return response
