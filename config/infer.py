"""An installation guessed from a history folder, so that data can be tried before anything is configured.

Each telemetry column that a type ever reports is a signal of it, in unit 1 and without limits; each code in the
fault log is a fault code, and codes not seen before are taken later; further columns of the register are
attributes. What the data cannot tell is left open: no rules, no operating signal, UTC, 24 reporting hours.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow.compute as pc

from config.batches import batches, no_history, require, table_path
from config.infer_register import Fleet, read_register
from config.infer_signals import read_signals, titled
from config.installation import Installation
from config.knowledge import ANOMALY, UNNAMED_FAILURE, FailureMode, Knowledge
from config.naming import code_name
from config.register import SEVERITIES, AssetType, FaultCode, Register, Severity, Signal
from config.settings import Models, Settings
from config.source import ConfigError, Problem

MAX_CODES = 8192

_T = TypeVar("_T")


def infer(history_folder: Path) -> Installation:
    """Return the installation that the data of a history folder speaks of.

    Reads each table once, in bounded memory (the register excepted). The digest is that of what was inferred.

    Raises:
        ConfigError: there is no telemetry and no fault log, a table is broken, two names become the same.
    """
    problems: list[Problem] = []

    def attempt(read: Callable[[Path], _T], name: str, otherwise: _T) -> _T:
        try:
            path = table_path(history_folder, name)
            return otherwise if path is None else read(path)
        except ConfigError as error:
            problems.extend(error.problems)
            return otherwise

    if not any(table_path(history_folder, name) for name in ("telemetry", "faults")):
        raise ConfigError([no_history(history_folder)])
    fleet = attempt(read_register, "assets", Fleet())
    signals = attempt(lambda path: read_signals(path, fleet), "telemetry", dict[str, tuple[Signal, ...]]())
    faults = attempt(lambda path: _faults(path, fleet), "faults", dict[str, tuple[FaultCode, ...]]())
    modes = attempt(_failure_modes, "failures", dict[str, FailureMode]())
    try:
        names = fleet.names()
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    types = tuple(
        AssetType(
            id=names["type", name],
            title=titled(name),
            signals=signals.get(name, ()),
            faults=faults.get(name, ()),
            open_vocabulary=True,
        )
        for name in fleet.types
    )
    sites, assets = fleet.sites(names), fleet.assets(names)
    register = Register(sites, types, assets)
    knowledge = Knowledge(failure_modes={ANOMALY.code: ANOMALY} | modes)
    inferred = [item.model_dump(mode="json") for item in (*sites, *types, *assets, *modes.values())]
    digest = hashlib.sha256(json.dumps(inferred, sort_keys=True).encode()).hexdigest()
    # Where no rule stands and nobody reviews, what the model says is all there is.
    settings = Settings(models=Models(ticket="auto"))
    return Installation(history_folder, settings, register, knowledge, (), digest)


def _faults(path: Path, fleet: Fleet) -> dict[str, tuple[FaultCode, ...]]:
    """The fault codes of each type, each with the severity it was most often logged with (minor where none was)."""
    severity = ("severity",) if "severity" in require(path, "asset_id", "time", "code") else ()
    seen: Counter[tuple[int, str, str]] = Counter()
    called: dict[str, str] = {}
    for batch in batches(path, ("asset_id", "code", *severity)):
        types = fleet.type_numbers(batch.column("asset_id"), path.name)
        frame = pd.DataFrame({"type": types, "code": batch.column("code").to_pylist(), "severity": ""})
        if severity:
            frame["severity"] = [word.strip().lower() for word in batch.column("severity").to_pylist()]
        frame = frame[(frame["type"] >= 0) & (frame["code"].str.strip() != "")]
        names = {text: _called(called, text.strip(), path) for text in frame["code"].unique()}
        frame["code"] = frame["code"].map(names)
        if len(called) > MAX_CODES:
            raise ConfigError([Problem(path.name, 0, f"names more than {MAX_CODES:,} fault codes")])
        known = frame["severity"].where(frame["severity"].isin(SEVERITIES), "")
        for key, count in frame.groupby(["type", "code", known]).size().items():
            seen[key] += int(count)  # type: ignore[index]
    severities: dict[tuple[int, str], Severity] = {}
    for (number, code, word), _ in reversed(seen.most_common()):
        for level in SEVERITIES:
            if word == level:
                severities[number, code] = level
    pairs = sorted({(number, code) for number, code, _ in seen})
    return {
        name: tuple(
            FaultCode(code=code, title=titled(called[code]), severity=severities.get((number, code), "minor"))
            for number, code in pairs
            if number == i
        )
        for i, name in enumerate(fleet.types)
    }


def _called(called: dict[str, str], text: str, path: Path) -> str:
    """Return the code of a text and note it; raises ``ConfigError`` where another text's is the same."""
    code = code_name(text)
    if called.setdefault(code, text) != text:
        raise ConfigError([Problem(path.name, 0, f"codes {called[code]!r} and {text!r} are both {code!r}; rename one")])
    return code


def _failure_modes(path: Path) -> dict[str, FailureMode]:
    columns = require(path, "asset_id", "time")
    if "failure_mode" not in columns:
        return {UNNAMED_FAILURE.code: UNNAMED_FAILURE}
    written: set[str] = set()
    for batch in batches(path, ("failure_mode",)):
        written.update(name.strip() for name in pc.unique(batch.column("failure_mode")).to_pylist())
        if len(written) > MAX_CODES:
            raise ConfigError([Problem(path.name, 0, f"names more than {MAX_CODES:,} failure modes")])
    found: dict[str, str] = {}
    for name in sorted(filter(None, written)):
        _called(found, name, path)
    modes = {code: FailureMode(code=code, title=titled(name)) for code, name in sorted(found.items())}
    return modes | ({UNNAMED_FAILURE.code: UNNAMED_FAILURE} if "" in written else {})
