"""``fleetdx rules probation end`` as a person runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from program import fleetdx, here

from fleetdx.data_folder import DataFolder
from fleetdx.wiring import connect_relational, disconnect_relational

pytestmark = pytest.mark.slow

RAIL = Path(__file__).parents[2] / "config/rail"
NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)
SAID = ("--by", "Wang Li", "--reason", "one hall was being [painted]")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three versions on probation, two of them of one rule; each spoke once."""
    folder = tmp_path / "data"
    connect_relational(DataFolder(folder))
    from alerts.models import Probation, Speaker

    for source in ("rule:air-leak@1", "rule:air-leak@2", "rule:door-slow@1"):
        Probation.objects.create(source=source, since=NOW, why="0 of 5 confirmed")
        Speaker.objects.create(source=source, failure_mode="AIR-LEAK", first_day=NOW.date(), last_day=NOW.date())
    disconnect_relational()
    return folder


def test_a_probation_ends_by_name_and_reason_and_the_score_card_says_so(data: Path) -> None:
    ended = fleetdx("rules", "probation", "end", "door-slow", *SAID, "-d", data)
    assert (ended.code, ended.out) == (0, "")
    assert "rule:door-slow@1 opens tickets by itself again" in ended.err
    cards = {card["source"]: card for card in here("scorecard", "-c", RAIL, "-d", data, "--json").json()["score_cards"]}
    card = cards["rule:door-slow@1"]
    assert (card["probation"], card["release"]["by"], card["release"]["why"]) == ("", "Wang Li", SAID[3])
    assert cards["rule:air-leak@1"]["release"] is None
    shown = here("scorecard", "-c", RAIL, "-d", data).err
    assert "rule:door-slow@1 was taken off probation on 20" in shown
    assert "by Wang Li: one hall was being [painted]" in shown


def test_a_name_that_means_several_or_none_ends_nothing(data: Path) -> None:
    several = here("rules", "probation", "end", "air-leak", *SAID, "-d", data)
    assert several.code == 3
    assert "name one of rule:air-leak@1, rule:air-leak@2" in several.err
    one = here("rules", "probation", "end", "rule:air-leak@2", *SAID, "-d", data, "--json")
    assert (one.code, one.json()) == (
        0, {"ended": ["rule:air-leak@2"], "on_probation": ["rule:air-leak@1", "rule:door-slow@1"]},
    )  # fmt: skip
    none = here("rules", "probation", "end", "rule:air-leak@2", *SAID, "-d", data)
    assert none.code == 1
    assert "is not on probation; on probation: rule:air-leak@1, rule:door-slow@1." in none.err


@pytest.mark.parametrize("said", [("--by", " ", "--reason", "why"), ("--by", "Wang Li", "--reason", " ")])
def test_without_a_name_or_a_reason_it_stands(data: Path, said: tuple[str, ...]) -> None:
    answer = here("rules", "probation", "end", "door-slow", *said, "-d", data)
    assert answer.code == 3
    assert "a name and a reason are needed" in answer.err
    assert here("rules", "probation", "end", "door-slow", *SAID, "-d", data).code == 0
