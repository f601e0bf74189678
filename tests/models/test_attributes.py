"""Attributes become numbers; names and what is unknown do not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.attributes import MAX_ATTRIBUTES, MAX_WORDS, AttributeCoding

FLEET = {
    f"A{n}": {"model": "abc"[n % 3], "year": str(2010 + n % 4), "serial": f"S{n}", "number": str(n), "maker": "one"}
    for n in range(12)
}


def test_what_tells_assets_apart_is_learned_from_and_what_names_them_is_not() -> None:
    coding = AttributeCoding.fit(FLEET)
    assert dict(coding.words) == {"model": ("a", "b", "c"), "year": None}
    columns = coding.columns(pd.Index(["A1", "A5", "A1"]), FLEET)
    assert columns["asset.model"].tolist() == [1.0, 2.0, 1.0]
    assert columns["asset.year"].tolist() == [2011.0, 2011.0, 2011.0]


def test_what_was_not_there_at_fitting_is_not_known() -> None:
    coding = AttributeCoding.from_plain(AttributeCoding.fit(FLEET).plain())
    later = {"N1": {"model": "d", "year": "nan"}, "N2": {}}
    for column in coding.columns(pd.Index(["N1", "N2", "stranger"]), later).values():
        assert np.isnan(column).all()


def test_the_number_of_attributes_and_words_is_bounded() -> None:
    many = {f"A{n}": {f"x{k}": str(n % 2) for k in range(MAX_ATTRIBUTES + 5)} for n in range(10)}
    assert len(AttributeCoding.fit(many).words) == MAX_ATTRIBUTES
    wordy = {f"A{n}": {"w": f"v{n % (MAX_WORDS + 1)}"} for n in range(4 * MAX_WORDS)}
    assert not AttributeCoding.fit(wordy).words
