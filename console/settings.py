"""Django's settings, from the environment that ``fleetdx.wiring`` prepares.

``FLEETDX_DATA_DIR`` is the folder of the relational state and the secret key (default ``fleetdx-data``).
"""

from __future__ import annotations

import os
from pathlib import Path

DATA_DIR = Path(os.environ.get("FLEETDX_DATA_DIR", "fleetdx-data"))

SECRET_KEY = os.environ.get("FLEETDX_SECRET_KEY", "not secret: only for commands that serve no page")
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "alerts",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "fleetdx.sqlite3",
        # IMMEDIATE: a writer waits for the lock instead of failing in the middle of its transaction.
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
