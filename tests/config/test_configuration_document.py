"""The examples of docs/configuration.md are one valid installation, and its error style is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config.installation import FILES, FOLDERS, load
from config.source import ConfigError

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    found = re.findall(r"^### `([^`]+)`$.*?^```(?:yaml|csv)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert {name.split("/")[0] for name, _ in found} == {*FILES, *FOLDERS} - {"rules"}
    for name, text in found:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_examples_are_a_valid_installation(example: Path) -> None:
    found = load(example)
    assert found.register.assets["C-01"].attributes == {"hall": "north"}
    assert found.knowledge.failure_modes["COOLER-FOULED"].advise == ("procedure:COO-1", "part:FIL-20")


def test_mistakes_are_told_as_the_document_shows(example: Path) -> None:
    for name, right, wrong in (
        ("asset_types/compressor.yaml", "unit: rpm", "unit: rpn"),
        ("settings.yaml", "48h", "two days"),
    ):
        text = (example / name).read_text(encoding="utf-8")
        assert right in text
        (example / name).write_text(text.replace(right, wrong), encoding="utf-8")
    with (example / "assets.csv").open("a") as table:
        table.write("C-03,compressor,liepzig,,,\n")
    with pytest.raises(ConfigError) as caught:
        load(example)
    shown = re.search(r"## How mistakes are told.*?```\n(.*?)```", DOCUMENT, re.DOTALL)
    assert shown is not None
    # The reference to a site is checked all the same: sites.yaml itself can be read.
    assert sorted(map(str, caught.value.problems)) == sorted(shown[1].splitlines())
