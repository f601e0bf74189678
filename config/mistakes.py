"""What a pydantic validation error says, in the words of somebody who writes configuration files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from config.nearest import did_you_mean

Where = tuple[str | int, ...]
"""The way from the top of a document to a value: keys and list indexes (from 0)."""


class Mistakes(ValueError):
    """What a validator of a whole model raises: each mistake, and where inside the model's data it stands."""

    def __init__(self, found: Sequence[tuple[Where, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(message for _, message in found))


_MUST_BE = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date": "a date such as 2026-11-23",
    "tuple": "a list",
    "list": "a list",
    "model": "a mapping of keys",
    "dict": "a mapping of keys",
    "mapping": "a mapping of keys",
}
"""First word of pydantic's error type -> what was wanted (https://docs.pydantic.dev/latest/errors/validation_errors/)."""

_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "a finite number",
}

_LENGTHS = {
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


def explain(details: ErrorDetails, model: object) -> Iterator[tuple[Where, str]]:
    """Yield where a mistake stands, and a sentence that names the key and, for an unknown name, the nearest.

    Mostly one; as many as a validator raised together as ``Mistakes``, none where the error only follows from others.
    """
    where = details["loc"]
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "missing":
        yield where, f"missing key {_path(where)!r}"
    elif kind == "extra_forbidden":
        yield where, f"unknown key {_path(where)!r}{did_you_mean(str(where[-1]), _keys(model, where[:-1]))}"
    elif kind == "too_short" and isinstance(given, list) and len(given) >= context["min_length"]:
        return  # long enough, but for entries that have mistakes of their own
    elif kind == "value_error" and isinstance(context["error"], Mistakes):
        for inside, message in context["error"].found:
            yield (*where, *inside), _sentence((*where, *inside), message)
    else:
        yield where, _sentence(where, _wrong(kind, given, context))


def _sentence(where: Where, message: str) -> str:
    return f"{path}: {message}" if (path := _path(where)) else message


def _wrong(kind: str, given: object, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        hint = did_you_mean(str(given), allowed) if isinstance(given, str) else f" (known: {', '.join(allowed)})"
        return f"unknown value {_short(given)}{hint}"
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind].format(**context)}, not {_short(given)}"
    if kind in _LENGTHS:
        return "must not be empty" if context.get("min_length") == 1 else _LENGTHS[kind].format(**context)
    if kind == "string_pattern_mismatch":
        return f"{_short(given)} does not fit the pattern {context['pattern']}"
    wanted = _MUST_BE.get(kind.split("_")[0])
    if wanted is None:
        return f"is not valid: {kind.replace('_', ' ')}"
    quotes = "; put it in quotes" if wanted == "text" and isinstance(given, bool | int | float) else ""
    return f"must be {wanted}, not {_short(given)}{quotes}"


def _short(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path(where: Sequence[str | int]) -> str:
    """``signals[2].unit``; the index of a list that is the whole file is left out, since the line says it."""
    path = ""
    for step in where[1:] if where and isinstance(where[0], int) else where:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _keys(annotation: object, where: Sequence[str | int]) -> set[str]:
    """The keys that may stand in the mapping at ``where`` inside a value of the annotated type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
        if not where:
            return set(fields)
        return _keys(fields.get(str(where[0])), where[1:])
    arguments: Iterable[object] = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _keys(get_args(annotation)[0], where)
    inside = get_origin(annotation) in (tuple, list) or _is_mapping(annotation)
    return set().union(*(_keys(argument, where[1:] if inside else where) for argument in arguments))


def _is_mapping(annotation: object) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)
