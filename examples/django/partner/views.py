"""Visitors log in by Kodgate and are Django's own users from then on."""

import logging
import secrets

import httpx
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from .kodgate import TokenRefused, verify

log = logging.getLogger(__name__)


@require_GET
@never_cache
def login_done(request):
    """Kodgate sends the browser here: `?verify_token=&state=`."""
    expected = request.session.get("state", "")
    if not expected or not constant_time_compare(expected, request.GET.get("state", "")):
        return problem(request, "This login was not begun here, or not in this browser.", 403)
    del request.session["state"]  # each is good for one login
    try:
        contact = verify(request.GET.get("verify_token", ""))
    except TokenRefused:
        return problem(request, "This login has expired or was used already.", 403)
    except (httpx.HTTPError, ValueError, KeyError):
        log.exception("Kodgate cannot verify")
        return problem(request, "We cannot check your login at the moment.", 502)
    user, is_new = User.objects.get_or_create(username=contact)
    if is_new:
        user.set_unusable_password()
        user.save()
    request.session.flush()  # nothing from before the login goes on; login() gives the session a new key
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("home")


@require_GET
@never_cache
def home(request):
    return render(request, "home.html", login_form(request))


@require_GET
@never_cache
def inline(request):
    return render(request, "inline.html", login_form(request))


def login_form(request):
    """What the login form needs; the state ties the login to this browser."""
    if request.user.is_authenticated:
        return {}
    return {
        "kodgate": settings.KODGATE_URL,
        "public_key": settings.KODGATE_PUBLIC_KEY,
        "return_to": settings.SITE_URL + reverse("login_done"),
        "state": request.session.setdefault("state", secrets.token_urlsafe()),
    }


def csrf_failure(request, reason=""):
    return problem(request, "This form is out of date.", 403)


def problem(request, text, status):
    return render(request, "problem.html", {"text": text}, status=status)
