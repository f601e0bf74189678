"""What the register says of an asset, as numbers that a model can learn from: model, supplier, year, mileage class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

PREFIX = "asset."
MAX_ATTRIBUTES = 24
MAX_WORDS = 64
SHARE_OF_NAMES = 0.5
"""Different values per asset above which an attribute is a name (a serial number) that says nothing of others."""

Attributes = Mapping[str, Mapping[str, str]]
"""Of each asset id, its attributes as the register holds them."""


@dataclass(frozen=True)
class AttributeCoding:
    """Attributes that were worth learning from; ``words`` are the values of one that is no number, in code order.

    A number stands for itself (``words`` is ``None``); a word for its place among the words, in alphabetical order;
    what was not there at fitting is not known (NaN).
    """

    words: Mapping[str, tuple[str, ...] | None]

    @classmethod
    def fit(cls, attributes: Attributes) -> Self:
        """Choose from the attributes of the assets that are learned from.

        Left out is what has one value only, nearly as many values as assets, or more than ``MAX_WORDS`` words.
        """
        names = sorted({name for of_asset in attributes.values() for name in of_asset})
        words: dict[str, tuple[str, ...] | None] = {}
        for name in names:
            values = [of_asset[name] for of_asset in attributes.values() if of_asset.get(name)]
            different = set(values)
            if len(different) < 2 or len(different) > SHARE_OF_NAMES * len(values):
                continue
            if all(_number(value) is not None for value in different):
                words[name] = None
            elif len(different) <= MAX_WORDS:
                words[name] = tuple(sorted(different))
        return cls(dict(list(words.items())[:MAX_ATTRIBUTES]))

    def columns(self, asset_ids: pd.Index, attributes: Attributes) -> dict[str, np.ndarray]:
        """Return a column ``asset.<attribute>`` for each attribute, with a value for each of ``asset_ids``."""
        number, known = pd.factorize(asset_ids)
        return {
            f"{PREFIX}{name}": np.array(
                [self._value(name, attributes.get(str(asset_id), {}).get(name, "")) for asset_id in known]
            )[number]
            for name in self.words
        }

    def _value(self, name: str, value: str) -> float:
        words = self.words[name]
        if words is not None:
            return float(words.index(value)) if value in words else math.nan
        number = _number(value)
        return math.nan if number is None else number

    def plain(self) -> dict[str, list[str] | None]:
        """Return what ``from_plain`` takes, fit for JSON."""
        return {name: None if words is None else list(words) for name, words in self.words.items()}

    @classmethod
    def from_plain(cls, held: Mapping[str, Any]) -> Self:
        """Build it from what was read back."""
        return cls({str(n): None if words is None else tuple(str(w) for w in words) for n, words in held.items()})


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
