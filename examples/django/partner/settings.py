"""What differs from `django-admin startproject` is the part below KODGATE_URL."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
KODGATE_URL = os.environ.get("KODGATE_URL", "http://localhost:8000")
KODGATE_PUBLIC_KEY = os.environ.get("KODGATE_PUBLIC_KEY", "pk_development")
KODGATE_SECRET_KEY = os.environ.get("KODGATE_SECRET_KEY", "sk_development")
SITE_URL = os.environ.get("SITE_URL", "http://localhost:8012")

SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()  # a passing one ends logins at a restart
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = [urlsplit(SITE_URL).hostname]

SESSION_COOKIE_NAME = "partner_django"
CSRF_COOKIE_NAME = "partner_django_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SITE_URL.startswith("https://")
SESSION_COOKIE_SAMESITE = "Lax"  # with Strict it would not come along from Kodgate to /login/done

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "partner",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "partner.middleware.content_security_policy",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ]
        },
    }
]
ROOT_URLCONF = "partner.urls"
CSRF_FAILURE_VIEW = "partner.views.csrf_failure"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
LOGOUT_REDIRECT_URL = "home"
TIME_ZONE = "UTC"
USE_TZ = True
