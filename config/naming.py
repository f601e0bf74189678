"""Names for what a stranger's data calls in its own way: ``Oil Temp (°C)`` becomes ``oil_temp_c``.

What is a name already stays as it is. Letters that have no Latin form are told apart by six digits of the text's hash,
so that any text but an empty one makes a name, and always the same.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Literal

from config.register import RESERVED_SIGNAL_NAMES

_LOOKED_AT = 1000
_DIGITS = 6
_ENDS = "._:-"
_LATIN = str.maketrans({"μ": "u", "Ω": "ohm", "ß": "ss", "æ": "ae", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d"})


def signal_name(column: str) -> str:
    """Return the signal that a telemetry column stands for. Raises ``ValueError``: it is empty."""
    if re.fullmatch(r"[a-z][a-z0-9_]{0,47}", column) and column not in RESERVED_SIGNAL_NAMES:
        return column
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column[:_LOOKED_AT])  # OilTemp
    name = _fitted(column, split.lower(), "a-z0-9", "_", "s", longest=46)
    return name if name[0].isalpha() and name not in RESERVED_SIGNAL_NAMES else f"s_{name}"


def plain_name(text: str, kind: Literal["site", "type"]) -> str:
    """Return the id of a site or an asset type: ``São Paulo 2`` becomes ``sao-paulo-2``, ``12`` ``site-12``.

    Raises ``ValueError``: it is empty.
    """
    if re.fullmatch(r"[a-z][a-z0-9-]{0,47}", text):
        return text
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text[:_LOOKED_AT])
    name = _fitted(text, split.lower(), "a-z0-9", "-", kind, longest=43)
    return name if name[0].isalpha() else f"{kind}-{name}"


def asset_name(text: str) -> str:
    """Return the id of an asset: ``Bus #12`` becomes ``Bus-12``, and ``12.0``, a number's other form, ``12``.

    Raises ``ValueError``: it is empty.
    """
    if number := re.fullmatch(r"([0-9]{1,20})\.0", text):
        return number[1]
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", text):
        return text
    return _fitted(text, text, "A-Za-z0-9._:-", "-", "asset", longest=64)


def code_name(text: str) -> str:
    """Return the code of a fault or a failure mode: ``SPN 110 / FMI 0`` becomes ``SPN-110-FMI-0``.

    Raises ``ValueError``: it is empty.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", text):
        return text
    return _fitted(text, text, "A-Za-z0-9._-", "-", "code", longest=32)


def _fitted(text: str, letters: str, kept: str, joint: str, alone: str, longest: int) -> str:
    """Return ``letters`` of ``text`` as far as they are ``kept``, with ``joint`` for the others between them.

    ``alone`` stands before the digits where nothing else does.
    """
    if not text.strip():
        raise ValueError("an empty text makes no name")
    plain = unicodedata.normalize("NFKD", letters[:_LOOKED_AT]).translate(_LATIN)
    foreign = any(not letter.isascii() and letter.isalnum() for letter in plain)
    name = re.sub(f"[^{kept}]+", joint, plain.encode("ascii", "ignore").decode()).strip(_ENDS)
    if name and not foreign and len(name) <= longest and len(text) <= _LOOKED_AT:
        return name
    digits = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGITS]
    head = name[: longest - _DIGITS - 1].strip(_ENDS)
    return f"{head or alone}{joint}{digits}"
