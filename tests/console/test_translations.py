"""Every sentence of the pages stands in Chinese too, and the compiled catalogue is the written one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.utils.translation.template import templatize

CONSOLE = Path(__file__).parents[2] / "console"
CATALOGUE = CONSOLE / "locale" / "zh_Hans" / "LC_MESSAGES"
_CALLS = {"gettext", "gettext_lazy", "_"}


def _written() -> Iterator[tuple[str, str]]:
    for path in sorted(CONSOLE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
                for part in ast.walk(node.args[0]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield path.name, part.value
    for path in sorted(CONSOLE.rglob("*.html")):
        for found in re.finditer(r"gettext\(u?(\"\"\".*?\"\"\"|\"[^\"]*\"|'[^']*')", templatize(path.read_text())):
            yield path.name, ast.literal_eval(found[1])


def test_every_sentence_has_its_chinese() -> None:
    chinese = {entry.msgid: entry for entry in polib.pofile(str(CATALOGUE / "django.po"))}
    written = list(_written())
    assert len(written) > 100
    missing = [(file, text) for file, text in written if text not in chinese or not chinese[text].translated()]
    assert missing == []


def test_the_catalogue_holds_nothing_that_is_said_no_more() -> None:
    said = {text for _, text in _written()}
    assert [e.msgid for e in polib.pofile(str(CATALOGUE / "django.po")) if e.msgid not in said] == []


@pytest.mark.parametrize("placeholder", [r"%\(\w+\)s"])
def test_translations_keep_their_placeholders(placeholder: str) -> None:
    for entry in polib.pofile(str(CATALOGUE / "django.po")):
        for chinese in [entry.msgstr, *entry.msgstr_plural.values()]:
            if chinese:
                assert set(re.findall(placeholder, chinese)) == set(re.findall(placeholder, entry.msgid))


def test_the_compiled_catalogue_is_the_written_one() -> None:
    written, compiled = polib.pofile(str(CATALOGUE / "django.po")), polib.mofile(str(CATALOGUE / "django.mo"))
    assert {(e.msgid, e.msgstr) for e in compiled} == {(e.msgid, e.msgstr) for e in written}
