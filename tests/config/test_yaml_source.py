"""The strict reading of YAML: what is accepted, with its lines, and hostile files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from config.register import AssetType, Site, Strict
from config.settings import Settings
from config.source import MAX_BYTES, MAX_PROBLEMS, ConfigError, Problem, Source, load_yaml, parse_yaml, validate

DOCUMENT = """\
# a comment
name: fleet
nested:
  list:
    - 1
    - deep: true
  text: |
    two
    lines
"""

# PyYAML leaves text unquoted by the rules of YAML 1.1 (a "0o7" is text there): words around it keep it text here too.
# Control characters, line separators and surrogates are no text that a person writes.
TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])).map(lambda text: f"text {text} end")
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


def test_every_value_knows_its_line() -> None:
    source = parse_yaml(DOCUMENT, "f.yaml")
    assert source.data == {"name": "fleet", "nested": {"list": [1, {"deep": True}], "text": "two\nlines\n"}}
    assert source.line(("name",)) == 2
    assert source.line(("nested", "list")) == 4
    assert source.line(("nested", "list", 1)) == 6
    assert source.line(("nested", "list", 1, "deep")) == 6
    assert source.line(("nested", "text")) == 7
    assert source.line(("nested", "missing", 3, "deeper")) == 3
    assert source.line() == 2


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("12:30:00", "12:30:00"),
        ("2026-11-23", "2026-11-23"),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        ("007", 7),
        ("'7'", "7"),
        ("-1.5e3", -1500.0),
        ("~", None),
        ("", None),
        ("True", True),
    ],
)
def test_scalars_are_those_of_the_core_schema(written: str, meant: object) -> None:
    value = parse_yaml(f"key: {written}", "f.yaml").data
    assert value == {"key": meant}
    assert isinstance(value, dict)
    assert type(value["key"]) is type(meant)


@given(PLAIN)
def test_what_is_dumped_is_read_back(value: object) -> None:
    assert parse_yaml(yaml.safe_dump(value, allow_unicode=True), "f.yaml").data == value


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@`?,#~<= \t\n\x00\u2028\ufeff0.e"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        parse_yaml(text, "f.yaml")


KEYS = (
    "id",
    "title",
    "en",
    "signals",
    "name",
    "unit",
    "low",
    "high",
    "faults",
    "operating",
    "signal",
    "mqtt",
    "models",
)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*KEYS, "", "bar", "48h", "x" * 99]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        max_leaves=20,
    )
)
def test_any_data_is_valid_or_refused_in_words(data: object) -> None:
    for model in (Settings, AssetType, tuple[Site, ...]):
        told: tuple[Problem, ...] | None = None
        try:
            validate(Source("f.yaml", data, {}), model)
        except ConfigError as error:
            told = error.problems
        # an error of pydantic for which there are no words of ours would say "is not valid"
        assert told is None or (told and not any("is not valid" in problem.message for problem in told))


def fails(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, path.parent)
    return str(caught.value)


def test_hostile_files(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    assert fails(path) == "f.yaml: is missing"
    path.write_bytes(b"a: 1\nb: \xff\n")
    assert fails(path) == "f.yaml:2: byte 0xff is not UTF-8 text"
    path.write_bytes(b"a: 1\nb: \x07\n")
    assert fails(path) == "f.yaml:2: character '\\x07' is not allowed"
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    assert fails(path) == "f.yaml: is larger than 1,000,000 bytes"
    path.write_bytes(b"[" * 100_000)
    assert fails(path) == "f.yaml:1: nested deeper than 20"
    path.write_bytes(b"? [a, b]\n: 1\n")
    assert fails(path) == "f.yaml:1: a key must be a plain word"
    path.unlink()
    os.mkfifo(path)
    assert fails(path) == "f.yaml: is not a plain file"


def test_a_bomb_of_aliases_is_not_unfolded(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    assert "bomb.yaml:2: alias *a0: write the value out" in fails(path)


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert load_yaml(tmp_path / "f.yaml").data == {"a": 1}


def test_problems_are_bounded() -> None:
    text = "\n".join(f"- {{id: B{n}, title: x}}" for n in range(1000))
    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml(text, "sites.yaml"), tuple[Site, ...])
    assert len(caught.value.problems) == MAX_PROBLEMS


def test_keys_are_known_by_their_alias_and_through_unions() -> None:
    class Rule(Strict):
        for_: str = Field(alias="for")
        site: Site | None = None

    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml("- for: 2\n  site: {id: a, title: b, timezone: UTC}\n  fro: 1", "r.yaml"), list[Rule])
    assert [str(problem) for problem in caught.value.problems] == [
        "r.yaml:1: for: must be text, not 2; put it in quotes",
        "r.yaml:2: unknown key 'site.timezone'; did you mean 'time_zone'?",
        "r.yaml:3: unknown key 'fro'; did you mean 'for'?",
    ]


def test_a_problem_of_a_whole_file_has_no_line() -> None:
    assert str(Problem("a.yaml", 0, "is missing")) == "a.yaml: is missing"
    assert str(ConfigError([Problem("b.yaml", 2, "y"), Problem("a.yaml", 9, "x")])) == "a.yaml:9: x\nb.yaml:2: y"
