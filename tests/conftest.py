"""Fixtures that several rooms share."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
