"""Cases: what was seen before a failure, and what was found and done about it afterwards.

A case is a failure. From many of them follows what is probable in the next
one: each action, cause or part counts as often as it was written down, cases that looked like today's more than others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

import pandas as pd

from models.labels import local_days

MAX_CASES = 500
"""Cases kept of one failure mode; the newest."""
MAX_WORDS = 20
"""Actions, causes or parts kept of one case."""
REPAIRED_WITHIN = timedelta(days=3)
JUDGED_WITHIN = timedelta(days=30)
PRIOR_CASES = 4.0
"""Cases that what is expected beforehand weighs as much as."""

Kind = Literal["actions", "causes", "parts"]
OUTCOME_COLUMNS = ("asset_id", "time", "failure_mode", "cause", "action", "parts")
"""What the workshop found of failures, a row each: ``time`` (ns), texts or empty; ``parts`` is one text, with ``;``
between.
"""


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """One case; ``symptoms`` showed within the window that ended the day before."""

    symptoms: tuple[str, ...]
    actions: tuple[str, ...]
    causes: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def told(self) -> bool:
        """Whether anybody wrote down what was found or done."""
        return bool(self.actions or self.causes or self.parts)

    def plain(self) -> dict[str, list[str]]:
        """Return it as JSON takes it."""
        return {name: list(words) for name, words in asdict(self).items()}

    @classmethod
    def from_plain(cls, held: Mapping[str, Any]) -> Self:
        """Read back what ``plain`` gave. Raises ``KeyError`` or ``TypeError`` where it is something else."""
        return cls(*(tuple(map(str, held[name])) for name in ("symptoms", "actions", "causes", "parts")))


class Remedy(NamedTuple):
    """Something found, done or fitted: how probable it is in the next case, and in how many it was."""

    name: str
    probability: float
    cases: int


def case_records(
    mode: str,
    events: pd.DataFrame,
    shown: Sequence[tuple[str, ...]],
    maintenance: pd.DataFrame,
    outcomes: pd.DataFrame,
    zones: Mapping[str, ZoneInfo] | None = None,
) -> tuple[CaseRecord, ...]:
    """Return the newest ``MAX_CASES`` cases of a mode, oldest first; ``shown`` are the symptoms of each event.

    ``events`` are the mode's. To a case belong the maintenance records from its operating day to ``REPAIRED_WITHIN``
    after it, and what was found of the same asset and mode from a day before to ``JUDGED_WITHIN`` after. A record may
    name the mode first (``AIR-LEAK: hose renewed``).
    """
    newest = events.iloc[-MAX_CASES:]
    days = local_days(newest, zones).to_numpy()
    done = maintenance.assign(day=local_days(maintenance, zones))
    by_asset = dict(list(done.groupby("asset_id")))
    answered = dict(list(outcomes[outcomes["failure_mode"] == mode].groupby("asset_id")))
    found = []
    rows = zip(newest["asset_id"], newest["time"], days, shown[-len(newest) :] if len(newest) else (), strict=True)
    for asset_id, at, day, symptoms in rows:
        actions: list[str] = []
        causes: list[str] = []
        parts: list[str] = []
        if (work := by_asset.get(asset_id)) is not None:
            after = work["day"] - day
            near_work = work.loc[(after >= timedelta(0)) & (after <= REPAIRED_WITHIN), "what"]
            actions += [str(what).removeprefix(f"{mode}: ") for what in near_work]
        if (told := answered.get(asset_id)) is not None:
            near = told[told["time"].between(at - _ns(timedelta(days=1)), at + _ns(JUDGED_WITHIN))]
            actions += near["action"].tolist()
            causes += near["cause"].tolist()
            parts += [part.strip().removeprefix("part:") for some in near["parts"] for part in str(some).split(";")]
        found.append(CaseRecord(symptoms, _words(actions), _words(causes), _words(parts)))
    return tuple(found)


def remedies(
    cases: Iterable[CaseRecord],
    kind: Kind,
    seen: Iterable[str],
    expected: Mapping[str, float],
    names: Mapping[str, str],
) -> list[Remedy]:
    """Return what is probable of one kind, the most probable first, given the symptoms ``seen`` now.

    ``expected`` gives what is known beforehand, the share of cases that it is in (0 to 1); ``names`` which name a text
    of the records stands for (lower case; itself where it says nothing). The probability is (k + s·e) / (n + s), a
    share of ``n`` cases with the prior e weighing as ``PRIOR_CASES`` s; a case counts by its likeness to what is seen.
    Cases of which nobody wrote down anything of the kind say nothing about it.
    """
    today = frozenset(seen)
    weight: defaultdict[str, float] = defaultdict(float)
    number: Counter[str] = Counter()
    counted = 0.0
    for case in cases:
        words = {names.get(word.lower(), word) for word in getattr(case, kind)}
        if not words:
            continue
        likeness = _likeness(today, frozenset(case.symptoms))
        counted += likeness
        for word in words:
            weight[word] += likeness
            number[word] += 1
    found = [
        Remedy(name, (weight[name] + PRIOR_CASES * expected.get(name, 0.0)) / (counted + PRIOR_CASES), number[name])
        for name in {**expected, **weight}
    ]
    return sorted(found, key=lambda remedy: (-remedy.probability, remedy.name))


def _likeness(today: frozenset[str], then: frozenset[str]) -> float:
    """Jaccard's, with one symptom added that all cases share: never 0, so that no case is lost."""
    return (1 + len(today & then)) / (1 + len(today | then))


def _words(texts: Iterable[object]) -> tuple[str, ...]:
    cleaned = (str(text).strip() for text in texts)
    return tuple(dict.fromkeys(text[:120] for text in cleaned if text))[:MAX_WORDS]


def _ns(span: timedelta) -> int:
    return int(span.total_seconds()) * 1_000_000_000
