"""Which columns of a telemetry table measure something: those of numbers and those of yes and no."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet

from config.batches import MISSING, TRUTHS, batches, require

_KEYS = ("asset_id", "time")
_ROW_NUMBERS = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""What pandas calls the row numbers that it writes beside a table."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Columns by what their first rows hold: numbers, yes and no, or what is no measurement, with the reason."""

    numbers: tuple[str, ...]
    truths: tuple[str, ...]
    left_out: dict[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """What is measured."""
        return (*self.numbers, *self.truths)


def measured(path: Path) -> Measured:
    """Return what each column of a telemetry table holds, judged by its first rows (4 MB of a CSV).

    A column is text where most of its cells are; one with a few cells that are no numbers is one of numbers, and
    reading it will name the first of them.

    Raises:
        ConfigError: the table is broken, or lacks ``asset_id`` or ``time``.
    """
    columns = [name for name in require(path, *_KEYS) if name not in _KEYS]
    left_out = {name: "row numbers" for name in columns if _ROW_NUMBERS.fullmatch(name)}
    texts = [name for name in columns if name not in left_out]
    if path.suffix == ".parquet":
        schema = pa_parquet.read_schema(path)
        texts = []
        for name in columns:
            kind = schema.field(name).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if pa.types.is_string(kind) or pa.types.is_large_string(kind):
                texts.append(name)
            elif not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind)) or pa.types.is_temporal(kind):
                left_out.setdefault(name, f"{kind}, no numbers")
    truths = _told(path, texts, left_out)
    numbers = [name for name in columns if name not in truths and name not in left_out]
    return Measured(tuple(numbers), tuple(truths), left_out)


def _told(path: Path, texts: Sequence[str], left_out: dict[str, str]) -> list[str]:
    """Return which of the columns written as text say yes and no; notes those of other words in ``left_out``."""
    first = next(batches(path, texts), None) if texts else None
    truths: list[str] = []
    if first is None:
        return truths
    for name in texts:
        cells = pc.utf8_trim_whitespace(pc.drop_null(first.column(name)))
        words = pd.Series(cells.to_pylist(), dtype="str")
        words = words[~words.isin(MISSING)]
        strange = words[pd.to_numeric(words, errors="coerce").isna()]
        if len(strange) and words.str.lower().isin(TRUTHS).all():
            truths.append(name)
        elif len(strange) * 2 > len(words):
            left_out[name] = f"text such as {strange.iloc[0][:40]!r}"
    return truths
