"""What the workshop knows: failure modes, and the procedures, drawings and parts that repair them.

A reference is written ``kind:id``: ``procedure:AIR-017``, ``drawing:AIR-D-204``, ``part:DRY-4711``.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from config.mistakes import Mistakes, Where
from config.nearest import did_you_mean
from config.register import Asset, Code, Name, Strict, Text
from config.source import ConfigError, Problem, Source, load_yaml, validate
from config.stock import Stocks
from config.validity import Validity

Link = Annotated[str, Field(pattern=r"^https?://[^\s<>]+$", max_length=500)]
Share = Annotated[float, Field(ge=0, le=1)]
SymptomName = Annotated[
    str,
    Field(pattern=r"^(faults\.[A-Za-z0-9][A-Za-z0-9._-]{0,31}|[a-z][a-z0-9_]{0,47}\.(high|low|spread))$"),
]
"""A symptom as ``models.symptoms`` calls it: ``faults.A2101``, ``compressor_duty.high``."""
DIRECTIONS = ("high", "low", "spread")
"""In which way a signal may be unlike its asset's past."""


class Procedure(Strict):
    """How a repair is done."""

    id: Code
    title: Text
    minutes: int = Field(gt=0, le=10_000)
    """Working time that it usually takes."""
    steps: tuple[Text, ...] = Field(min_length=1, max_length=50)
    url: Link | None = None
    """Where the whole document is kept."""
    valid: Validity = Validity()


class Drawing(Strict):
    """A drawing or scheme, by the number under which the design office keeps it."""

    id: Code
    title: Text
    sheet: str = Field(default="", max_length=50)
    url: Link | None = None
    valid: Validity = Validity()


class Part(Strict):
    """A spare part, by its order number."""

    id: Code
    title: Text
    lead_days: int = Field(default=0, ge=0, le=1000)
    """Days from order to delivery; 0 where depots keep it in stock."""


class Warranty(Strict):
    """Under which terms the maker bears the repair of a failure mode."""

    months: int | None = Field(default=None, gt=0, le=1200)
    """From commissioning; where it is not given, the asset's own ``warranty_until`` holds."""
    terms: Text

    def until(self, asset: Asset) -> date | None:
        """Return the last day of the warranty on this asset, or ``None`` where the register does not tell."""
        if self.months is None:
            return asset.warranty_until
        if asset.commissioned is None:
            return None
        year, month = divmod(asset.commissioned.year * 12 + asset.commissioned.month - 1 + self.months, 12)
        return date(year, month + 1, min(asset.commissioned.day, monthrange(year, month + 1)[1]))


class Symptom(Strict):
    """What is expected to show before a failure, and how often it shows without one: shares of days, 0 to 1."""

    seen: SymptomName
    before: Share
    otherwise: Share


class Cause(Strict):
    """Why an asset fails in this way. ``share``: of the failures that it is expected to be behind."""

    code: Code
    title: Text
    share: Share = 0.0


class Repair(Strict):
    """What is done about it; ``share`` of the failures in which it is expected, and what it needs.

    ``recorded_as``: how maintenance records and outcomes call it, whatever its case; its code is known by itself.
    """

    code: Code
    title: Text
    share: Share = 0.0
    procedure: Code | None = None
    parts: Mapping[Code, Share] = Field(default_factory=dict)
    """For a part, the share of these repairs that it is fitted in."""
    recorded_as: tuple[Annotated[str, Field(min_length=1, max_length=120)], ...] = Field(default=(), max_length=20)


class FailureMode(Strict):
    """One way in which an asset fails, and what a technician needs to act before it does."""

    code: Code
    title: Text
    iso14224: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "UNK"
    """Failure mode code of EN ISO 14224, annex B.2.6, such as ELU, VIB, OHE, FTC."""
    subsystem: Name = "general"
    procedures: tuple[Code, ...] = Field(default=(), max_length=20)
    drawings: tuple[Code, ...] = Field(default=(), max_length=20)
    parts: tuple[Code, ...] = Field(default=(), max_length=50)
    skill_level: Literal[1, 2, 3] = 2
    """Level of maintenance that the repair asks for, as a site's (EN 13306); a site below it calls for help."""
    safety: Text | None = None
    """What could hurt the person who does the repair."""
    warranty: Warranty | None = None
    mtbf_days: float | None = Field(default=None, gt=0, le=1_000_000)
    """Mean days between two such failures of one asset, as experience says: believed until there are cases."""
    symptoms: tuple[Symptom, ...] = Field(default=(), max_length=50)
    causes: tuple[Cause, ...] = Field(default=(), max_length=50)
    repairs: tuple[Repair, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _check(self) -> Self:
        mistakes: list[tuple[Where, str]] = []
        for kind, key, names in (
            ("symptoms", "seen", [symptom.seen for symptom in self.symptoms]),
            ("causes", "code", [cause.code for cause in self.causes]),
            ("repairs", "code", [repair.code for repair in self.repairs]),
        ):
            given = ((number, name) for number, name in enumerate(names) if name in names[:number])
            mistakes += [((kind, number, key), f"{name!r} is given twice") for number, name in given]
        whole = sum(cause.share for cause in self.causes)
        if whole > 1 + 1e-9:
            mistakes.append((("causes",), f"the shares make {whole:.3g} together; a failure has one cause"))
        if mistakes:
            raise Mistakes(mistakes)
        return self

    @property
    def part_shares(self) -> Mapping[str, float]:
        """The share of failures in which each part is expected to be fitted, by its repairs taken as independent."""
        spared: dict[str, float] = {}
        for repair in self.repairs:
            for part, share in repair.parts.items():
                spared[part] = spared.get(part, 1.0) * (1.0 - repair.share * share)
        return {part: 1.0 - share for part, share in spared.items()}

    @property
    def advise(self) -> tuple[str, ...]:
        """References to all that helps, in the order of reading: procedures, drawings, parts."""
        kinds = (("procedure", self.procedures), ("drawing", self.drawings), ("part", self.parts))
        return tuple(f"{kind}:{item}" for kind, items in kinds for item in items)


ANOMALY = FailureMode(
    code="ANOMALY",
    title=Text(en="Unexplained anomaly", zh="原因未明的异常"),
    iso14224="PDE",
    safety=Text(
        en="The cause is not known: treat the equipment as live, pressurised and hot until it is shown not to be.",
        zh="原因未明：在确认安全之前，应将设备视为带电、带压和高温状态。",
    ),
)
"""What a model alone can say; every knowledge base has it, and may word it in its own way."""

UNNAMED_FAILURE = FailureMode(code="FAILURE", title=Text(en="Failure of no recorded kind", zh="未记录类型的故障"))
"""A failure of a history that does not say in what way."""


NO_DATA = FailureMode(
    code="NO-DATA", title=Text(en="No data from the asset", zh="设备无数据"), iso14224="OTH", subsystem="link"
)
"""Said of an asset that fell silent; no rule and no model says it, so no knowledge base need hold it."""
NO_INTAKE = FailureMode(
    code="NO-INTAKE", title=Text(en="No data is taken in", zh="数据接收中断"), iso14224="OTH", subsystem="link"
)
"""Said of the program itself, where it hears nobody."""
OWN_MODES: Mapping[str, FailureMode] = {mode.code: mode for mode in (NO_DATA, NO_INTAKE)}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The knowledge base, by id and code."""

    procedures: Mapping[str, Procedure] = field(default_factory=dict)
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    failure_modes: Mapping[str, FailureMode] = field(default_factory=lambda: {ANOMALY.code: ANOMALY})
    stock: Stocks = field(default_factory=dict)

    def resolve(self, reference: str) -> Procedure | Drawing | Part:
        """Return what a reference such as ``procedure:AIR-017`` names.

        Raises:
            KeyError: there is no such thing; its text names the reference and the nearest known one.
        """
        kinds: dict[str, Mapping[str, Procedure | Drawing | Part]] = {
            "procedure": self.procedures,
            "drawing": self.drawings,
            "part": self.parts,
        }
        kind, _, item = reference.partition(":")
        if kind not in kinds:
            raise KeyError(f"unknown reference {reference!r}: it begins with procedure:, drawing: or part:")
        if item not in kinds[kind]:
            raise KeyError(f"unknown {kind} {item!r}{did_you_mean(item, kinds[kind])}")
        return kinds[kind][item]


class _File(Strict):
    """One file of the knowledge folder: any of the four kinds, since a subsystem's knowledge belongs together."""

    procedures: tuple[Procedure, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    parts: tuple[Part, ...] = ()
    failure_modes: tuple[FailureMode, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the rest of an installation has names for: attributes of assets, and symptoms. ``None``: not checked."""

    attributes: Collection[str] | None = None
    symptoms: Collection[str] | None = None


def load(files: Iterable[Path], folder: Path, vocabulary: Vocabulary = Vocabulary()) -> Knowledge:
    """Read the files of a knowledge folder; messages call them relative to ``folder``.

    Raises:
        ConfigError: all problems of all files, an id or code given twice and a reference to nothing among them.
    """
    problems: list[Problem] = []
    read: list[tuple[Source, _File]] = []
    for path in files:
        try:
            source = load_yaml(path, folder)
            read.append((source, _File() if source.data is None else validate(source, _File)))
        except ConfigError as error:
            problems += error.problems
    knowledge = Knowledge(
        procedures=_collect(read, "procedures", "id", problems),
        drawings=_collect(read, "drawings", "id", problems),
        parts=_collect(read, "parts", "id", problems),
        failure_modes={ANOMALY.code: ANOMALY} | _collect(read, "failure_modes", "code", problems),
    )
    if not problems:  # a file that could not be read may hold what another refers to
        problems += [problem for source, file in read for problem in _loose_ends(source, file, knowledge)]
    problems += [problem for source, file in read for problem in _strange_names(source, file, vocabulary)]
    if problems:
        raise ConfigError(problems)
    return knowledge


def _collect(read: list[tuple[Source, _File]], kind: str, key: str, problems: list[Problem]) -> dict[str, Any]:
    """All items of one kind by id, over all files; an id that comes again is a problem."""
    found: dict[str, Any] = {}
    first: dict[str, str] = {}
    for source, file in read:
        for number, item in enumerate(getattr(file, kind)):
            name, where = getattr(item, key), (kind, number, key)
            if name in found:
                message = f"{kind[:-1].replace('_', ' ')} {name!r} is given twice (first in {first[name]})"
                problems.append(source.problem(where, message))
            first.setdefault(name, f"{source.file}:{source.line(where)}")
            found[name] = item
    return found


def _loose_ends(source: Source, file: _File, knowledge: Knowledge) -> Iterable[Problem]:
    for number, mode in enumerate(file.failure_modes):
        for place, repair in enumerate(mode.repairs):
            where: Where = ("failure_modes", number, "repairs", place)
            if repair.procedure is not None and repair.procedure not in knowledge.procedures:
                hint = did_you_mean(repair.procedure, knowledge.procedures)
                yield source.problem((*where, "procedure"), f"unknown procedure {repair.procedure!r}{hint}")
            for part in repair.parts:
                if part not in knowledge.parts:
                    yield source.problem(
                        (*where, "parts", part), f"unknown part {part!r}{did_you_mean(part, knowledge.parts)}"
                    )
        for kind in ("procedures", "drawings", "parts"):
            known = getattr(knowledge, kind)
            for index, name in enumerate(getattr(mode, kind)):
                if name not in known:
                    message = f"unknown {kind.removesuffix('s')} {name!r}{did_you_mean(name, known)}"
                    yield source.problem(("failure_modes", number, kind, index), message)


def _strange_names(source: Source, file: _File, vocabulary: Vocabulary) -> Iterable[Problem]:
    """Symptoms that no asset type can show, and attributes that no asset has."""
    if vocabulary.symptoms is not None:
        for number, mode in enumerate(file.failure_modes):
            for place, symptom in enumerate(mode.symptoms):
                if symptom.seen not in vocabulary.symptoms:
                    message = f"unknown symptom {symptom.seen!r}{did_you_mean(symptom.seen, vocabulary.symptoms)}"
                    yield source.problem(("failure_modes", number, "symptoms", place, "seen"), message)
    if vocabulary.attributes is not None:
        kinds: dict[str, tuple[Procedure | Drawing, ...]] = {"procedures": file.procedures, "drawings": file.drawings}
        for kind, items in kinds.items():
            for number, item in enumerate(items):
                for name in item.valid.names:
                    if name not in vocabulary.attributes:
                        message = f"no asset has an attribute {name!r}{did_you_mean(name, vocabulary.attributes)}"
                        yield source.problem((kind, number, "valid"), message)
