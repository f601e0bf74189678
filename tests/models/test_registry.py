"""The registry gives back what was saved, or says which file is not what it was."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.ensemble import Ensemble
from models.panel import panel_index
from models.persistence import Persistence
from models.registry import Registry, RegistryError, data_hash
from models.type_model import TypeModel

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = [np.datetime64("2026-01-01") + d for d in range(50)]
    index = panel_index([a for a in "ABCD" for _ in days], days * 4)
    return pd.DataFrame(rng.normal(size=(200, 3)), index=index, columns=["a.mean.own", "b.mean.own", "c.mean.peers"])


def fit(panel: pd.DataFrame, *detectors: str) -> Ensemble:
    return Ensemble.fit(
        panel,
        pd.Series(True, index=panel.index),
        detectors=detectors,
        false_tickets_per_100_asset_days=2.0,
        persistence=Persistence(1, 2),
    )


@pytest.fixture(scope="module")
def ensemble(panel: pd.DataFrame) -> Ensemble:
    return fit(panel, "robust_z", "pca")


def save(registry: Registry, ensemble: Ensemble, now: datetime = NOW) -> str:
    return registry.save(
        "emu-car",
        TypeModel(ensemble),
        training_first=date(2026, 1, 1),
        training_last=date(2026, 2, 19),
        data_hash="d" * 64,
        metrics={"recall": 0.5},
        now=now,
    )


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def test_what_is_saved_comes_back(registry: Registry, panel: pd.DataFrame) -> None:
    ensemble = fit(panel, "robust_z", "pca", "isolation_forest")
    version = save(registry, ensemble)
    assert version.startswith("20261123T101500-")
    pd.testing.assert_frame_equal(
        registry.load("emu-car", version).ensemble.score(panel), ensemble.score(panel), check_exact=True
    )
    described = registry.describe("emu-car", version)
    assert (described.training_first, described.training_last) == (date(2026, 1, 1), date(2026, 2, 19))
    assert described.created == NOW
    assert described.metrics == {"recall": 0.5}
    assert {"python", "numpy", "scikit-learn"} <= set(described.libraries)
    assert "isolation_forest/isolation_forest.skops" in described.files


def test_versions_sort_by_time_and_one_is_active(registry: Registry, ensemble: Ensemble) -> None:
    assert registry.versions("emu-car") == []
    assert registry.active("emu-car") is None
    later = save(registry, ensemble, NOW + timedelta(hours=1))
    earlier = save(registry, ensemble, NOW)
    assert registry.versions("emu-car") == [earlier, later]
    assert registry.active("emu-car") is None
    for version in (earlier, later, earlier):
        registry.activate("emu-car", version, now=NOW)
        active = registry.active("emu-car")
        assert active is not None
        assert active.name == version
    assert registry.active("bus") is None


def test_every_file_that_was_touched_is_named(registry: Registry, ensemble: Ensemble, tmp_path: Path) -> None:
    version = save(registry, ensemble)
    folder = tmp_path / "registry" / "emu-car" / version
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) == 8
    for path in files:
        whole = path.read_bytes()
        for damaged in (whole[:-1], whole + b" ", bytes([whole[0] ^ 1]) + whole[1:], b"", None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(RegistryError, match=path.name):
                registry.load("emu-car", version)
            with pytest.raises(RegistryError, match=path.name):
                registry.activate("emu-car", version, now=NOW)
        path.write_bytes(whole)
    registry.load("emu-car", version)
    assert registry.active("emu-car") is None


def test_a_file_too_many_is_refused(registry: Registry, ensemble: Ensemble, tmp_path: Path) -> None:
    version = save(registry, ensemble)
    (tmp_path / "registry" / "emu-car" / version / "pca" / "more.pkl").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"more\.pkl: not part of the model"):
        registry.load("emu-car", version)


@pytest.mark.parametrize("name", ["", "..", "20261123T101500-0000000", "../../20261123T101500-00000000", "a/b"])
def test_what_names_no_version_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match="not a version"):
        registry.load("emu-car", name)


@pytest.mark.parametrize("asset_type", ["", "..", "a/b", "A", "/etc"])
def test_what_names_no_asset_type_is_refused(registry: Registry, asset_type: str) -> None:
    with pytest.raises(RegistryError, match="not an asset type"):
        registry.versions(asset_type)


def test_a_version_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"20261123T101500-00000000.*No such file"):
        registry.load("emu-car", "20261123T101500-00000000")


@pytest.mark.parametrize("content", [b"", b"../x", b"\xff\xfe", b"20261123T101500-00000000"])
def test_a_pointer_to_nowhere_is_an_error_not_an_empty_registry(
    registry: Registry, ensemble: Ensemble, tmp_path: Path, content: bytes
) -> None:
    save(registry, ensemble)
    (tmp_path / "registry" / "emu-car" / "active").write_bytes(content)
    with pytest.raises(RegistryError):
        registry.active("emu-car")


def test_a_save_that_fails_leaves_nothing(registry: Registry, ensemble: Ensemble, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        registry.save(
            "emu-car", TypeModel(ensemble), data_hash="",
            training_first=date(2026, 1, 1), training_last=date(2026, 2, 1),
            metrics={"recall": object()}, now=NOW,  # type: ignore[dict-item]
        )  # fmt: skip
    assert list((tmp_path / "registry" / "emu-car").iterdir()) == []


def test_data_hash_tells_data_apart_whatever_the_order_of_columns(panel: pd.DataFrame) -> None:
    assert data_hash(panel) == data_hash(panel[panel.columns[::-1]])
    changed = panel.copy()
    changed.iloc[3, 1] += 1e-12
    renamed = panel.rename(columns={"a.mean.own": "z.mean.own"})
    assert len({data_hash(panel), data_hash(changed), data_hash(renamed), data_hash(panel.head(199))}) == 4
