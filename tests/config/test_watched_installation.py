"""Changes of the files are followed; broken ones leave the old installation in force."""

from __future__ import annotations

import logging
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.installation import Installation
from config.source import ConfigError, Problem
from config.watch import Watched

RAIL = Path(__file__).parents[2] / "config" / "rail"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(RAIL, tmp_path / "rail")
    return tmp_path / "rail"


def test_nothing_changes(folder: Path) -> None:
    watched = Watched(folder)
    os.utime(folder / "settings.yaml", (1, 1))  # touched, and the same
    assert watched.poll(NOW) is None
    assert watched.poll(NOW) is None
    assert watched.error is None


def test_a_valid_change_is_taken_over_once(folder: Path) -> None:
    watched = Watched(folder)
    (folder / "settings.yaml").write_text("models: {seed: 7}")
    taken = watched.poll(NOW)
    assert taken is not None
    assert taken.settings.models.seed == 7
    assert watched.installation is taken
    assert watched.poll(NOW) is None


@pytest.mark.parametrize("change", ["broken", "removed file", "removed folder"])
def test_a_broken_change_is_told_once_and_the_old_kept(
    folder: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(folder)
    before = watched.installation
    if change == "broken":
        (folder / "settings.yaml").write_text("models: {sead: 7}")
        expected = "settings.yaml:1: unknown key 'models.sead'; did you mean 'seed'?"
    elif change == "removed file":
        (folder / "sites.yaml").unlink()
        expected = "sites.yaml: is missing"
    else:
        shutil.rmtree(folder)
        expected = f"{folder}: is not a folder"
    with caplog.at_level(logging.ERROR):
        for minutes in range(3):
            assert watched.poll(NOW + timedelta(minutes=minutes)) is None
    assert watched.installation is before
    assert str(watched.error) == expected
    assert watched.error_since == NOW
    assert len(caplog.records) == 1
    assert expected in caplog.text


def test_a_broken_change_that_is_taken_back_is_forgotten(folder: Path) -> None:
    watched = Watched(folder)
    text = (folder / "settings.yaml").read_text()
    (folder / "settings.yaml").write_text("[")
    watched.poll(NOW)
    assert watched.error is not None
    (folder / "settings.yaml").write_text(text)
    assert watched.poll(NOW) is None
    assert watched.error is None
    assert watched.error_since is None


def test_a_new_rule_file_is_a_change_that_the_layers_above_may_refuse(folder: Path) -> None:
    def check(installation: Installation) -> None:
        if any(path.name == "zz.yaml" for path in installation.rule_files):
            raise ConfigError([Problem("rules/zz.yaml", 3, "unknown signal 'presure'")])

    watched = Watched(folder, check)
    (folder / "rules" / "zz.yaml").write_text("[]")
    assert watched.poll(NOW) is None
    assert str(watched.error) == "rules/zz.yaml:3: unknown signal 'presure'"
    (folder / "rules" / "zz.yaml").rename(folder / "rules" / "yy.yaml")
    assert watched.poll(NOW) is not None
    assert watched.error is None


def test_what_is_broken_to_begin_with_is_not_watched(folder: Path) -> None:
    (folder / "sites.yaml").write_text("[]")
    with pytest.raises(ConfigError, match="names no site"):
        Watched(folder)
