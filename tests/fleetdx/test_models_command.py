"""The versions of models as a person sees and chooses them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from program import fleetdx

from fleetdx.data_folder import DataFolder
from models.candidate import Candidate, nominate
from models.ensemble import Ensemble
from models.panel import panel_index
from models.persistence import Persistence
from models.registry import Registry
from models.type_model import TypeModel

pytestmark = pytest.mark.slow

NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, list[str]]:
    """Three versions: the second is active, the first was before it, the third is a candidate that waits."""
    assets, days = [f"A{n}" for n in range(8)], np.datetime64("2026-01-01", "D") + np.arange(40)
    index = panel_index([a for a in assets for _ in days], list(np.tile(days, len(assets))))
    panel = pd.DataFrame({"x.mean.own": np.random.default_rng(1).normal(size=len(index))}, index=index)
    panel["completeness"] = 1.0
    ensemble = Ensemble.fit(
        panel, pd.Series(True, index=index), detectors=("robust_z",), false_tickets_per_100_asset_days=1.0,
        persistence=Persistence(1, 1), seed=0, min_completeness=0.5,
    )  # fmt: skip
    folder = tmp_path / "data"
    registry = Registry(DataFolder(folder).registry)
    versions = [
        registry.save(
            "pump", TypeModel(ensemble), training_first=date(2026, 1, 1), training_last=date(2026, 2, 9),
            data_hash="d" * 64, metrics={"asset_days": 320.0}, now=NOW + timedelta(days=n),
        )
        for n in range(3)
    ]  # fmt: skip
    for version in versions[:2]:
        registry.activate("pump", version, now=NOW, why="first fit")
    nominate(registry, "pump", Candidate(versions[2], date(2026, 5, 7), "2 features fell silent: x"))
    return folder, versions


def roles(folder: Path) -> list[str]:
    answer = fleetdx("models", "list", "-d", folder, "--json")
    assert answer.code == 0, answer.err
    return [row["role"] for row in answer.json()["models"]]


def test_the_list_says_which_speaks_and_which_waits(data: tuple[Path, list[str]]) -> None:
    assert roles(data[0]) == [
        "", "active", "candidate since 2026-05-07, waits for a person: 2 features fell silent: x"
    ]  # fmt: skip


def test_rollback_and_activate_change_who_speaks_and_say_who_did(data: tuple[Path, list[str]]) -> None:
    folder, versions = data
    assert fleetdx("models", "rollback", "pump", "-d", folder, "--by", "anna", "--why", "too loud").code == 0
    assert roles(folder)[:2] == ["active", ""]
    assert fleetdx("models", "activate", "pump", versions[2], "-d", folder, "--by", "bo", "--why", "seen").code == 0
    assert roles(folder) == ["", "", "active"]
    shown = fleetdx("models", "show", "pump", versions[0], "-d", folder, "--json").json()
    assert [(entry["by"], entry["why"]) for entry in shown["activations"]] == [
        ("fleetdx", "first fit"), ("anna", "too loud")
    ]  # fmt: skip
    assert shown["metrics"] == {"asset_days": 320.0}


def test_a_tampered_version_is_told_and_refused(data: tuple[Path, list[str]]) -> None:
    folder, versions = data
    path = next((DataFolder(folder).registry / "pump" / versions[0]).rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    answer = fleetdx("models", "list", "-d", folder, "--json")
    assert "changed since the model was saved" in answer.json()["models"][0]["problem"]
    refused = fleetdx("models", "activate", "pump", versions[0], "-d", folder, "--by", "bo", "--why", "x")
    assert refused.code == 3
    assert path.name in refused.err
    assert roles(folder)[1] == "active"


def test_the_table_is_for_people(data: tuple[Path, list[str]]) -> None:
    folder, versions = data
    assert "320" in fleetdx("models", "list", "-d", folder).err
    assert "first fit" in fleetdx("models", "show", "pump", versions[0], "-d", folder).err
    assert fleetdx("models", "list", "-d", folder / "nowhere").code == 3
