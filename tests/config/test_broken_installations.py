"""Every mistake of the corpus is told in full: file, line, cause, nearest name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from config.installation import load
from config.source import ConfigError, load_yaml, validate

HERE = Path(__file__).parent
CASES = sorted((HERE / "broken").glob("*.yaml"))
VALID = HERE / "valid_installation.yaml"


class Case(BaseModel):
    files: Mapping[str, str | None]
    problems: tuple[str, ...]


def lay_out(folder: Path, files: Mapping[str, str | None]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")


@pytest.fixture
def installation_folder(tmp_path: Path) -> Path:
    lay_out(tmp_path, validate(VALID, Mapping[str, str]))  # type: ignore[type-abstract]
    return tmp_path


def test_the_corpus_is_there() -> None:
    assert len(CASES) == 58


def test_what_the_cases_are_laid_over_is_valid(installation_folder: Path) -> None:
    assert set(load(installation_folder).register.assets) == {"P-1", "P-2"}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_all_problems_are_told(path: Path, installation_folder: Path) -> None:
    case = validate(load_yaml(path), Case)
    lay_out(installation_folder, case.files)
    with pytest.raises(ConfigError) as caught:
        load(installation_folder)
    assert [str(problem) for problem in caught.value.problems] == list(case.problems)
