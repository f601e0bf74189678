"""Names for what a stranger's data calls in its own way: ``Oil Temp (°C)`` becomes ``oil_temp_c``."""

from __future__ import annotations

import re
import unicodedata

from config.register import RESERVED_SIGNAL_NAMES


def signal_name(column: str) -> str:
    """Return the signal that a telemetry column stands for; a column that is a signal name already is itself.

    Raises:
        ValueError: nothing fit is left of it (it begins with a digit, has no Latin letter ...), or it is reserved.
    """
    name = _words(column, "_")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", name):
        raise ValueError(f"column {column!r} makes no signal name; rename it: a letter first, then letters and digits")
    if name in RESERVED_SIGNAL_NAMES:
        raise ValueError(f"column {column!r}: {name!r} is a reserved name; rename it")
    return name


def plain_name(text: str) -> str:
    """Return the id of a site or an asset type that data calls ``text``: ``São Paulo 2`` becomes ``sao-paulo-2``.

    Raises:
        ValueError: as ``signal_name`` does.
    """
    name = _words(text, "-")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,47}", name):
        raise ValueError(f"{text!r} makes no name; rename it: a letter first, then letters and digits, at most 48")
    return name


def _words(text: str, joint: str) -> str:
    if len(text) > 100:
        raise ValueError(f"{text[:40]!r}... is longer than 100 characters; rename it")
    if re.fullmatch(rf"[a-z][a-z0-9{joint}]*", text):
        return text
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)  # OilTemp
    letters = unicodedata.normalize("NFKD", split).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", joint, letters).strip(joint)
