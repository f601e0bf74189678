"""The order of version numbers as equipment makers write them: ``2.4``, ``V2.10.1``, ``3.0b``."""

from __future__ import annotations

import re

Key = tuple[tuple[int, str], ...]


def version_key(text: str) -> Key:
    """Return what orders versions.

    Runs of digits compare as numbers and runs of letters as text, one run after the other; letters come before digits,
    and what goes on comes after what ends. A ``v`` in front, upper and lower case, signs between the runs and zeros at
    the end make no difference: ``V2.4`` is ``2.4.0``, ``2.4`` comes before ``2.4b`` and that before ``2.10``.
    """
    runs = re.findall(r"[0-9]+|[a-z]+", text.lower())
    if len(runs) > 1 and runs[0] == "v":
        del runs[0]
    key = [(int(run), "") if run.isdigit() else (-1, run) for run in runs]
    while len(key) > 1 and key[-1] == (0, ""):
        del key[-1]
    return tuple(key)
