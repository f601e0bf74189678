"""Every mistake of the corpus is told with its line and what is wrong.

A file of ``broken_rules/`` is a rule file; the comments at its top are the problems that must be found, all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from small_fleet import knowledge, register

from config.source import ConfigError
from diagnostics.rules import load

CASES = sorted((Path(__file__).parent / "broken_rules").glob("*.yaml"))
GOOD = """\
- rule: noisy
  asset_type: pump
  when: current.mean > 20
  failure_mode: NOISY
  severity: minor
  act_within: 7d
  text: {en: Noisy., zh: 噪声。}
"""


def expected(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [f"broken_rules/{path.name}:{line.removeprefix('# ')}" for line in lines if line.startswith("#")]


def problems(*paths: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(paths, register(), knowledge(), ("robust_z", "pca"))
    return [str(problem) for problem in caught.value.problems]


def test_the_corpus_is_there() -> None:
    assert len(CASES) == 88


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_all_problems_are_told(path: Path) -> None:
    assert expected(path)
    assert problems(path) == expected(path)


def test_the_problems_of_all_files_come_at_once_and_a_good_file_among_them_has_none(tmp_path: Path) -> None:
    good = tmp_path / "rules" / "good.yaml"
    good.parent.mkdir()
    good.write_text(GOOD, encoding="utf-8")
    assert load([good], register(), knowledge(), ("robust_z",)).rules[0].name == "noisy"
    some = CASES[:3]
    told = [line for line in problems(good, *some) if "given twice" not in line]  # they all call their rule the same
    assert told == sorted(line for path in some for line in expected(path))


def test_a_name_from_a_file_that_cannot_be_read_is_not_held_against_another(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "a.yaml").write_text(GOOD.replace("ticket", "") + "  suppresses: [rattling]\n", encoding="utf-8")
    (folder / "b.yaml").write_text("- rule: rattling\n  asset_type: [\n", encoding="utf-8")
    found = problems(folder / "a.yaml", folder / "b.yaml")
    assert len(found) == 1
    assert found[0].startswith("rules/b.yaml:")


def test_a_rule_keeps_its_version_while_another_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "config" / "rules" / "some.yaml"
    path.parent.mkdir(parents=True)

    def versions(text: str) -> dict[str, str]:
        path.write_text(text + GOOD.replace("rule: noisy", "rule: rattling").replace("20", "15"), encoding="utf-8")
        return {one.name: one.version for one in load([path], register(), knowledge(), ("robust_z",)).rules}

    before, after = versions(GOOD), versions(GOOD.replace("20", "21"))
    assert before["noisy"] != after["noisy"]
    assert before["rattling"] == after["rattling"]
    assert before["noisy"] != before["rattling"]


def test_the_version_changes_with_any_rule_and_with_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "rules" / "good.yaml"
    path.parent.mkdir()

    def version(text: str) -> str:
        path.write_text(text, encoding="utf-8")
        return load([path], register(), knowledge(), ("robust_z",)).version

    assert version(GOOD) == version("# a comment\n" + GOOD)
    assert version(GOOD) != version(GOOD.replace("20", "21"))
