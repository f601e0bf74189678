"""Tables with line numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.source import ConfigError
from config.table import load_csv


def read(folder: Path, content: bytes) -> list[tuple[int, dict[str, str]]]:
    (folder / "t.csv").write_bytes(content)
    source = load_csv(folder / "t.csv", ["id"], ["when"], folder)
    assert isinstance(source.data, list)
    return [(source.line((number,)), row) for number, row in enumerate(source.data)]


def test_rows_know_their_lines_over_blank_lines_and_quoted_line_ends(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbfid,note\r\na,"two\r\nlines"\r\n\r\nb, x \r\n,\r\nc,\r\n'
    assert read(tmp_path, content) == [
        (2, {"id": "a", "note": "two\r\nlines"}),
        (5, {"id": "b", "note": "x"}),
        (7, {"id": "c"}),
    ]


def test_a_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    assert read(tmp_path, b"id,when\n") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv:1: is empty; its first line names the columns: id,when"),
        (b"id,\n", "t.csv:1: column 2 has no name"),
        (b"id," + b",".join(b"c%d" % n for n in range(100)), "t.csv:1: has more than 100 columns"),
        (b"id\na\n\xff\n", "t.csv:3: byte 0xff is not UTF-8 text"),
        (b'"id', "t.csv:1: a quote that is never closed"),
        (b'id\n"a"b\n', "t.csv:2: not CSV: ',' expected after '\"'"),
        (b"id\n" + b"x" * 200_000 + b"\n", "t.csv:2: not CSV: field larger than field limit (131072)"),
    ],
)
def test_broken_tables(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, content)
    assert str(caught.value) == message


def test_problems_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, b"id,x\n" + b"a\n" * 100_000)
    assert len(caught.value.problems) == 100
