"""For which assets a procedure or drawing holds."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from config.register import Asset
from config.validity import Validity, Versions

CAR = {"model": "M2", "software": "2.10.1"}


def asset(commissioned: date | None = date(2024, 5, 1), **attributes: str) -> Asset:
    return Asset(id="P-1", asset_type="pump", site="s", commissioned=commissioned, attributes=attributes)


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({}, True),
        ({"attributes": {"model": ("M1", "M2")}}, True),
        ({"attributes": {"model": ("M1",)}}, False),
        ({"attributes": {"pump": ("M1",)}}, None),
        ({"attributes": {"pump": ("M1",), "model": ("M1",)}}, False),
        ({"versions": {"software": Versions(since="2.9")}}, True),
        ({"versions": {"software": Versions(since="2.10.2")}}, False),
        ({"versions": {"software": Versions(since="2", before="2.10")}}, False),
        ({"versions": {"software": Versions(before="3.0")}}, True),
        ({"versions": {"model": Versions(before="3.0")}}, None),
        ({"commissioned_since": date(2024, 5, 1), "commissioned_until": date(2024, 5, 1)}, True),
        ({"commissioned_since": date(2024, 5, 2)}, False),
        ({"commissioned_until": date(2024, 4, 30)}, False),
    ],
)
def test_it_holds_where_all_of_it_does_and_is_open_where_the_register_is_silent(
    given: dict[str, Any], holds: bool | None
) -> None:
    assert Validity(**given).holds(asset(**CAR)) is holds


def test_a_date_that_is_not_recorded_decides_nothing() -> None:
    assert Validity(commissioned_since=date(2020, 1, 1)).holds(asset(None)) is None


@pytest.mark.parametrize(
    ("version", "since", "inside"), [("2.0", "2", True), ("2", "2.0.0", True), ("1.99", "2", False)]
)
def test_trailing_zeros_say_nothing(version: str, since: str, inside: bool) -> None:
    assert Versions(since=since).hold(version) is inside
