"""The knowledge base: references, and the warranty of an asset."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from config.installation import load
from config.knowledge import ANOMALY, Knowledge, Part, Procedure, Warranty
from config.register import Asset, Text

RAIL = Path(__file__).parents[2] / "config" / "rail"
TERMS = Text(en="terms", zh="条款")


def asset(commissioned: date | None = None, warranty_until: date | None = None) -> Asset:
    return Asset(id="P-1", asset_type="pump", site="s", commissioned=commissioned, warranty_until=warranty_until)


def test_references_are_resolved_and_unknown_ones_named() -> None:
    knowledge = load(RAIL).knowledge
    assert isinstance(knowledge.resolve("procedure:AIR-017"), Procedure)
    assert isinstance(knowledge.resolve("part:DRY-4711"), Part)
    for reference, message in (
        ("procedure:AIR-O17", "unknown procedure 'AIR-O17'; did you mean 'AIR-017'?"),
        ("video:1", "unknown reference 'video:1': it begins with procedure:, drawing: or part:"),
        ("AIR-017", "unknown reference 'AIR-017': it begins with procedure:, drawing: or part:"),
    ):
        with pytest.raises(KeyError) as caught:
            knowledge.resolve(reference)
        assert caught.value.args[0] == message


def test_the_sample_helps_with_every_failure_mode() -> None:
    knowledge = load(RAIL).knowledge
    assert set(knowledge.failure_modes) == {"AIR-LEAK", "DOOR-DRIVE", "HVAC-COOL", "AXLE-BEARING", "ANOMALY"}
    for mode in knowledge.failure_modes.values():
        assert mode.safety is not None
        assert mode.procedures
        assert all(knowledge.resolve(reference) for reference in mode.advise)
        if mode.code != "ANOMALY":
            assert {reference.split(":")[0] for reference in mode.advise} == {"procedure", "drawing", "part"}
            assert mode.warranty is not None
    used = {reference for mode in knowledge.failure_modes.values() for reference in mode.advise}
    assert len(used) == len(knowledge.procedures) + len(knowledge.drawings) + len(knowledge.parts)


def test_there_is_always_a_failure_mode_for_what_a_model_says() -> None:
    assert Knowledge().failure_modes == {"ANOMALY": ANOMALY}


@pytest.mark.parametrize(
    ("months", "of", "until"),
    [
        (24, asset(date(2024, 2, 29)), date(2026, 2, 28)),
        (12, asset(date(2024, 12, 31)), date(2025, 12, 31)),
        (1, asset(date(2024, 1, 31), date(2030, 1, 1)), date(2024, 2, 29)),
        (24, asset(None, date(2030, 1, 1)), None),
        (None, asset(date(2024, 1, 1), date(2030, 1, 1)), date(2030, 1, 1)),
        (None, asset(date(2024, 1, 1)), None),
    ],
)
def test_the_last_day_of_a_warranty(months: int | None, of: Asset, until: date | None) -> None:
    assert Warranty(months=months, terms=TERMS).until(of) == until
