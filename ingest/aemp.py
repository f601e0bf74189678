"""Fault codes of a telematics portal: ISO 15143-3 (AEMP 2.0) XML, as saved from its ``Faults`` time series.

Source: ISO/TS 15143-3:2016, "Diagnostic trouble codes": ``FaultCode`` with the attribute ``datetime``, and in it
``CodeIdentifier``, ``CodeSeverity``, ``CodeSource``, ``AirTemperature``; the machine stands in ``EquipmentHeader``.
Portals differ in what they wrap around these, so elements are found by name, at any depth and in any namespace.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from config.register import SEVERITIES, Register
from config.source import ConfigError, Problem
from ingest.accounting import Accounting
from ingest.counters import Counters
from ingest.decoders.decoder import Decoded, FaultReport, Reject, Rejects, default_occurrence
from ingest.decoders.timestamp import WrongTime, nanoseconds
from ingest.pipeline import Pipeline, Report
from telemetry.store import TelemetryStore

MAX_DEPTH = 32
MAX_TEXT = 10_000
"""Characters of one element."""
_CHUNK = 1_000_000
_BATCH = 5_000
_HEADER = ("EquipmentID", "PIN", "VIN", "OEMISOIdentifier", "SerialNumber")
"""What a machine is called, from the first that is looked for to the last."""
_ATTRIBUTES = ("equipment_id", "pin", "vin", "serial_number", "serial")
"""Columns of the register under which a machine may be called so, where that is not its asset's id."""
_DETAILS = frozenset(("CodeIdentifier", "CodeSeverity", "CodeSource", "AirTemperature", "datetime", "Datetime"))
_SEVERITY = {name: name for name in SEVERITIES} | {"low": "minor", "medium": "major", "high": "critical"}
_SPN_FMI = re.compile(r"SPN\W*([0-9]{1,6})\W+FMI\W*([0-9]{1,2})|([0-9]{1,6})[/:. ]([0-9]{1,2})", re.IGNORECASE)


class Told(NamedTuple):
    """One fault code as a portal tells it; ``machine`` are the machine's names, by element."""

    line: int
    machine: Mapping[str, str]
    details: Mapping[str, str]


def read(path: Path) -> Iterator[Told]:
    """Yield the fault codes of a file, which is read in bounded memory.

    Raises:
        ConfigError: it is no such XML; names the line. What stands before the mistake was yielded.
    """
    found: list[Told] = []
    parser = _Parser(found.append)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
                yield from found
                found.clear()
        parser.feed(b"", last=True)
    except expat.ExpatError as error:
        raise ConfigError([Problem(path.name, error.lineno, f"is no XML: {expat.ErrorString(error.code)}")]) from None
    except (LookupError, ValueError) as error:  # from Python's part of expat: an encoding that it does not know
        raise ConfigError([Problem(path.name, parser.line, f"is in an encoding that is not read: {error}")]) from None
    except _Refused as error:
        raise ConfigError([Problem(path.name, parser.line, str(error))]) from None
    yield from found


def import_faults(
    path: Path,
    register: Register,
    pipeline: Pipeline,
    accounting: Accounting,
    store: TelemetryStore,
    *,
    asset_id: str | None = None,
) -> Counters:
    """Bring a file's fault codes through validation into the store; return what was counted.

    ``asset_id`` is whose they are where the file does not say. What the store has already counts as duplicate.

    Raises:
        ConfigError: the file is broken; what stands before the mistake is imported.
        StoreError: what was brought before is imported; the file can be imported again.
    """
    before = accounting.counters()
    names = _names(register)
    batch: list[tuple[str, Decoded]] = []
    for told in read(path):
        machine = [told.machine[name] for name in _HEADER if name in told.machine]
        known = (names[name] for name in machine if name in names)
        whose = asset_id or next(known, machine[0] if machine else "")
        batch.append((whose, _decoded(told)))
        if len(batch) == _BATCH:
            _bring(batch, pipeline, store)
            batch.clear()
    _bring(batch, pipeline, store)
    return accounting.counters().since(before)


def _bring(batch: Sequence[tuple[str, Decoded]], pipeline: Pipeline, store: TelemetryStore) -> None:
    for whose, of_asset in groupby(sorted(batch, key=lambda one: one[0]), key=lambda one: one[0]):
        decoded = [one for _, one in of_asset]
        times = [fault.time for one in decoded for fault in one.faults]
        if times:
            stored = store.read_faults([whose], min(times), max(times) + 1)
            keys = set(zip(stored["code"], stored["time"], stored["occurrence"], strict=True))
            for one in decoded:
                one.repeated = bool(one.faults) and all((f.code, f.time, f.occurrence) in keys for f in one.faults)
                keys |= {(f.code, f.time, f.occurrence) for f in one.faults}
        pipeline.take_reports([Report(whose, "faults", one) for one in decoded])


def _names(register: Register) -> dict[str, str]:
    """Return assets by all that a portal may call them."""
    names = {
        value: asset.id
        for asset in register.assets.values()
        for column, value in asset.attributes.items()
        if column.lower() in _ATTRIBUTES and value
    }
    return names | {name: name for name in register.assets}


def _decoded(told: Told) -> Decoded:
    details, rejects = told.details, Rejects()
    where = f"line {told.line}."
    code = _code(details.get("CodeIdentifier", ""))
    stamp = details.get("datetime") or details.get("Datetime") or ""
    try:
        time = nanoseconds(stamp)
    except WrongTime as error:
        rejects.add(Reject("bad-time", f"{where}datetime", str(error)))
        return Decoded(rejected=1, rejects=rejects)
    if not code:
        rejects.add(Reject("missing", f"{where}CodeIdentifier", "expected text, got nothing"))
        return Decoded(rejected=1, rejects=rejects)
    # Times are whole seconds, so that two control units may tell one code at one time.
    source = details.get("CodeSource", "")
    occurrence = 2 + zlib.crc32(source.encode()) % 2**31 if source else default_occurrence("set")
    severity = _SEVERITY.get(details.get("CodeSeverity", "").lower(), "")  # else of each maker's own kind
    context = {}
    try:
        temperature = float(details.get("AirTemperature", ""))
    except ValueError:
        pass
    else:
        context = {"air_temperature": temperature} if math.isfinite(temperature) else {}
    return Decoded(faults=[FaultReport(time, code, "set", occurrence, severity, context)])


def _code(text: str) -> str:
    """Return a code as the register may spell it: ``SPN 1208 FMI 3`` and ``1208/3`` are ``1208-3``."""
    found = _SPN_FMI.fullmatch(text.strip())
    if found is not None:
        spn, fmi = (found[1], found[2]) if found[1] else (found[3], found[4])
        return f"{int(spn)}-{int(fmi)}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.strip()).strip("-")


class _Refused(Exception):
    """The file is XML of a kind that is not taken."""


class _Parser:
    """Finds fault codes in a stream of XML. Document types are refused: nothing here needs an entity."""

    def __init__(self, take: Callable[[Told], None]) -> None:
        self._take = take
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._machine: dict[str, str] = {}
        self._details: dict[str, str] | None = None
        self._line = 0
        self._expat = expat.ParserCreate()
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._characters
        self._expat.StartDoctypeDeclHandler = self._document_type

    @property
    def line(self) -> int:
        """Where the parser stands."""
        return self._expat.CurrentLineNumber

    def feed(self, chunk: bytes, *, last: bool = False) -> None:
        """Read on."""
        self._expat.Parse(chunk, last)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = name.rpartition(":")[2]
        self._path.append(name)
        if len(self._path) > MAX_DEPTH:
            raise _Refused(f"is nested deeper than {MAX_DEPTH}")
        self._text.clear()
        self._length = 0
        if name == "EquipmentHeader":
            self._machine = {}
        elif name == "FaultCode" and self._details is None:
            self._details, self._line = {}, self.line
            for key, value in attributes.items():
                if key in _DETAILS:
                    self._details[key] = value[:MAX_TEXT]

    def _end(self, name: str) -> None:
        name = self._path.pop()
        text = "".join(self._text).strip()
        self._text.clear()
        self._length = 0
        if name == "FaultCode" and self._details is not None and "FaultCode" not in self._path:
            self._take(Told(self._line, self._machine, self._details))
            self._details = None
        elif self._details is not None and name in _DETAILS:
            self._details[name] = text
        elif name in _HEADER and self._path and self._path[-1] == "EquipmentHeader" and text:
            self._machine = self._machine | {name: text}
        elif name == "Equipment":
            self._machine = {}

    def _characters(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_TEXT:
            raise _Refused(f"an element holds more than {MAX_TEXT} characters")
        self._text.append(text)

    def _document_type(self, *_: object) -> None:
        raise _Refused("brings a document type, which is not taken")
