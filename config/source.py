"""Strict YAML in which every value knows its file and line, and every mistake becomes a sentence.

Accepted is what a person means who writes a configuration: one document of mappings, lists and scalars by the
core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), without octal, hexadecimal and infinite
numbers. So ``no`` and ``12:30`` are text, and a date is text until a model asks for a date. Refused, since they
hide what is meant or make a small file large: duplicate keys, anchors, aliases and tags.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from config.mistakes import Where, explain

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_PROBLEMS = 100
"""Problems listed for one file; a file with more is broken in one way many times over."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it stands and what it is. Line 0 speaks of the file as a whole."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used, with all problems found in it, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Source:
    """The plain data of one file (dict, list, str, int, float, bool, None) and the line of each value in it."""

    file: str
    data: object
    lines: Mapping[Where, int]

    def line(self, where: Where = ()) -> int:
        """Return the line (from 1) of a value: that of its key, or of the nearest thing around it that is there."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Where, message: str) -> Problem:
        """Return a problem with the value at ``where``."""
        return Problem(self.file, self.line(where), message)


def shown(path: Path, folder: Path | None) -> str:
    """Return how a file is called in messages: relative to the folder of its installation, if it is in it."""
    return path.relative_to(folder).as_posix() if folder and path.is_relative_to(folder) else str(path)


def read_text(path: Path, folder: Path | None, limit: int) -> str:
    """Return the text of a UTF-8 file of at most ``limit`` bytes (a byte order mark is dropped).

    Raises:
        ConfigError: it is missing, no plain file, not readable, too large or not UTF-8.
    """
    file = shown(path, folder)
    if not path.is_file():
        raise ConfigError([Problem(file, 0, "is missing" if not path.exists() else "is not a plain file")])
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise ConfigError([Problem(file, 0, f"cannot be read: {error.strerror}")]) from error
    if len(content) > limit:
        raise ConfigError([Problem(file, 0, f"is larger than {limit:,} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, f"byte 0x{content[error.start]:02x} is not UTF-8 text")]) from error


def load_yaml(path: Path, folder: Path | None = None) -> Source:
    """Read one YAML file; messages call it relative to ``folder``. An empty file has the data ``None``.

    Raises:
        ConfigError: it is not there, larger than ``MAX_BYTES``, deeper than ``MAX_DEPTH``, no YAML, or not strict.
    """
    return parse_yaml(read_text(path, folder, MAX_BYTES), shown(path, folder))


def parse_yaml(text: str, file: str) -> Source:
    """Parse YAML text; ``file`` is its name in messages. Raises ``ConfigError`` as ``load_yaml`` does."""
    problems: list[Problem] = []
    lines: dict[Where, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        problems += [Problem(file, line, message) for line, message in loader.refused]
        data = None if node is None else _plain(node, (), file, lines, problems)
    except yaml.MarkedYAMLError as error:
        mark, message = _syntax(error)
        problems.append(Problem(file, mark.line + 1 if mark else 0, message))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.append(Problem(file, line, f"character {chr(int(error.character))!r} is not allowed"))
    if problems:
        raise ConfigError(sorted(problems)[:MAX_PROBLEMS])
    return Source(file, data, lines)


def validate(source: Source | Path, model: type[T]) -> T:
    """Return the data as ``model``: a pydantic model, or a type made of them such as ``tuple[Site, ...]``.

    Types are strict: a number is no text, a text is no number, ``true`` is no 1.

    Raises:
        ConfigError: one problem for each mistake, not only the first.
    """
    if isinstance(source, Path):
        source = load_yaml(source)
    try:
        # By way of JSON, because only there strict types still read dates from text and tuples from lists.
        return TypeAdapter(model).validate_json(json.dumps(source.data), strict=True)
    except ValidationError as error:
        mistakes = chain.from_iterable(explain(details, model) for details in error.errors(include_url=False))
        raise ConfigError(sorted(source.problem(*mistake) for mistake in mistakes)[:MAX_PROBLEMS]) from None


class _Loader(yaml.SafeLoader):
    """Composes nodes; takes down what is refused, and goes on, so that all of it can be told at once."""

    # The class attribute of SafeLoader holds the resolvers of YAML 1.1; here it starts empty.
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.refused: list[tuple[int, str]] = []
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if self.check_event(yaml.AliasEvent):
            self.refused.append((line, f"alias *{event.anchor}: write the value out"))
            self.get_event()  # type: ignore[no-untyped-call]
            return yaml.ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)
        if event.anchor is not None:
            self.refused.append((line, f"anchor &{event.anchor}: anchors and aliases are not allowed"))
            event.anchor = None
        if event.tag is not None:
            self.refused.append((line, f"tag {event.tag!r}: tags are not allowed"))
            event.tag = None
        if self._depth == MAX_DEPTH:
            raise yaml.composer.ComposerError(problem=f"nested deeper than {MAX_DEPTH}", problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_CORE = "tag:yaml.org,2002:"
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(_CORE + _tag, re.compile(f"^(?:{_pattern})$"), list(_first))


def _plain(node: yaml.Node, where: Where, file: str, lines: dict[Where, int], problems: list[Problem]) -> object:
    """Turn a node into plain data; the recursion is bounded by MAX_DEPTH."""
    lines.setdefault(where, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*where, i), file, lines, problems) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(file, line, "a key must be a plain word"))
            elif key.value in mapping:
                first = lines[(*where, key.value)]
                problems.append(Problem(file, line, f"key {key.value!r} is given twice (first on line {first})"))
            else:
                lines[(*where, key.value)] = line
                mapping[key.value] = _plain(value, (*where, key.value), file, lines, problems)
        return mapping
    text = str(node.value)
    match node.tag.removeprefix(_CORE):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" if len(text) <= 20:
            return int(text)
        case "float" if math.isfinite(number := float(text)):
            return number
        case "int" | "float":
            problems.append(Problem(file, node.start_mark.line + 1, f"the number {text[:20]}... is too large"))
    return text


def _syntax(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, str]:
    mark = error.problem_mark or error.context_mark
    message = ", ".join(part for part in (error.context, error.problem) if part)
    if message == "while scanning a quoted scalar, found unexpected end of stream":
        return error.context_mark, "a quote that is never closed"
    if message.startswith("expected a single document"):
        return mark, "more than one document in the file; leave out the second '---'"
    if r"'\t'" in message:
        return mark, "a tab: indent with blanks"
    if message == "mapping values are not allowed here":
        return mark, "a second ': ' in one line; put text that holds one in quotes"
    return mark, message if message.startswith("nested") else f"not YAML: {message}"
