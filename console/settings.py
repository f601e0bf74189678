"""Django's settings, from the environment that ``fleetdx.wiring`` prepares.

``FLEETDX_DATA_DIR`` is the folder of the relational state (default ``fleetdx-data``), ``FLEETDX_SECRET_KEY``
signs sessions, ``FLEETDX_HOSTS`` lists the host names that the console answers to, and ``FLEETDX_BASE_URL`` is the
address under which people reach it, be it through a proxy that ends TLS.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _

DATA_DIR = Path(os.environ.get("FLEETDX_DATA_DIR", "fleetdx-data"))
HERE = Path(__file__).parent

SECRET_KEY = os.environ.get("FLEETDX_SECRET_KEY", "not secret: only for commands that serve no page")
_REACHED = urlsplit(os.environ.get("FLEETDX_BASE_URL", ""))
_BY_TLS = _REACHED.scheme == "https"
ALLOWED_HOSTS = os.environ.get("FLEETDX_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
ALLOWED_HOSTS += [_REACHED.hostname] if _REACHED.hostname else []
# A form sent over TLS names https as where it comes from, while the proxy speaks to us without.
CSRF_TRUSTED_ORIGINS = [f"https://{_REACHED.netloc}"] if _BY_TLS else []
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _BY_TLS
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "alerts",
    "console",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "console.security.ContentSecurityPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every page asks for a log-in unless it says otherwise.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "console.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "fleetdx.sqlite3",
        # IMMEDIATE: a writer waits for the lock instead of failing in the middle of its transaction.
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "alerts"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Chinese"))]
LOCALE_PATHS = [HERE / "locale"]
