"""The sample installation, and what loading one promises."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from config.installation import load
from config.settings import Settings
from config.source import ConfigError

RAIL = Path(__file__).parents[2] / "config" / "rail"


def test_the_sample_is_the_fleet_it_says() -> None:
    register = load(RAIL).register
    assert Counter(asset.site for asset in register.assets.values()) == {"madrid": 9, "sao-paulo": 6, "shanghai": 9}
    car = register.type_of("EMU-01-A")
    assert len(car.signals) == 14
    assert {signal.period for signal in car.signals} == {300.0}
    assert len(car.faults) == 15
    assert Counter(fault.severity for fault in car.faults) == {"info": 2, "minor": 5, "major": 4, "critical": 4}
    assert register.site_of("EMU-08-C").language == "zh"
    assert register.assets["EMU-04-B"].attributes == {
        "train": "EMU-04",
        "car": "motor car",
        "maker": "Example Rolling Stock",
        "software": "3.6",
    }


def test_rules_are_listed_without_their_tests() -> None:
    files = load(RAIL).rule_files
    assert files
    assert all(path.parent.name == "rules" and not path.name.endswith("_test.yaml") for path in files)


def test_the_digest_is_that_of_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "rail"
    shutil.copytree(RAIL, folder)
    digest = load(folder).digest
    assert digest == load(RAIL).digest
    (folder / "notes.md").write_text("not read")
    assert load(folder).digest == digest
    (folder / "knowledge" / "anomaly.yaml").rename(folder / "knowledge" / "unknown.yaml")
    renamed = load(folder).digest
    (folder / "settings.yaml").unlink()
    removed = load(folder)
    assert len({digest, renamed, removed.digest}) == 3
    assert removed.settings == Settings()


def test_settings_that_are_all_commented_out_are_the_defaults(tmp_path: Path) -> None:
    folder = tmp_path / "rail"
    shutil.copytree(RAIL, folder)
    (folder / "settings.yaml").write_text("# mqtt:\n#   port: 1\n")
    assert load(folder).settings == Settings()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere: is not a folder"):
        load(tmp_path / "nowhere")
