"""The pages on alerts and connectors say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import alerts.connectors
from alerts.connectors.http import _RETRYABLE
from alerts.lifecycle.states import CLEAR_DAYS
from config.settings import Tickets

DOCS = Path(__file__).parents[2] / "docs"
CONNECTORS = (DOCS / "connectors.md").read_text(encoding="utf-8")


def test_each_connector_has_a_heading_and_each_setting_a_row() -> None:
    helpers = {"__init__", "connector", "http", "paging", "standing"}
    files = {path.stem for path in Path(alerts.connectors.__path__[0]).glob("*.py")} - helpers
    assert files <= set(re.findall(r"^## (\w+)$", CONNECTORS, re.MULTILINE))
    table = CONNECTORS.partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Tickets.model_fields)


def test_every_status_that_is_retried_is_named() -> None:
    line = next(line for line in CONNECTORS.splitlines() if "`Retryable`" in line)
    assert {int(number) for number in re.findall(r"\b[45]\d\d\b", line)} == _RETRYABLE


def test_days_to_clear_are_those_of_the_program() -> None:
    assert f"clear for {CLEAR_DAYS} days" in (DOCS / "alerts.md").read_text(encoding="utf-8")
