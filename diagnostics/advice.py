"""What is probably wrong and what will mend it: failure modes ranked, and causes, repairs and parts for each diagnosis.

Rules, the failure model and the case base each say something of a failure mode. They read the same day, so that they
are no independent evidence and are not multiplied; they are pooled: the log odds of the result are the weighted mean of
theirs (a logarithmic opinion pool; Genest and Zidek, Stat. Sci. 1, 1986). Who says nothing has no weight.

=============  =====================================================  ===========================
voice          probability                                            weight
=============  =====================================================  ===========================
rule           ``RULE_TRUST``, when it holds                          1
failure model  its calibrated risk                                    1
case base      calibrated from 15 cases on, else by Bayes' rule       (n + 4) / (n + 19), n cases
=============  =====================================================  ===========================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from config.knowledge import ANOMALY, FailureMode, Knowledge
from diagnostics.case_view import CaseView
from diagnostics.records import Candidate, Diagnosis, RankedMode
from models.casebase import CASEBASE, MIN_CASES
from models.cases import PRIOR_CASES, CaseRecord, Kind, Remedy, remedies
from models.failure import FAILURE

RULE_TRUST: Mapping[str, float] = {"auto": 0.8, "review": 0.5}
"""How far a rule that holds is believed, by whether it may open a ticket by itself."""
RANKED = 5
LEAST = 0.01
"""A failure mode less probable than this is not worth a line."""


class Voice(NamedTuple):
    """Who says how probable something is, and how much that weighs."""

    name: str
    probability: float
    weight: float


def pooled(voices: Sequence[Voice]) -> float:
    """Return the logarithmic opinion pool of voices (at least one, with a positive weight)."""
    total = sum(voice.weight for voice in voices)
    mean = sum(voice.weight * _logit(voice.probability) for voice in voices) / total
    return 1.0 / (1.0 + math.exp(-mean))


def with_advice(diagnoses: Iterable[Diagnosis], view: CaseView | None, knowledge: Knowledge) -> list[Diagnosis]:
    """Return one asset's diagnoses; those that hold with probability, ranked failure modes, causes, repairs and parts.

    ``diagnoses`` are all that rules and models say, several of one failure mode among them; ``view`` is what the case
    base says of the asset, if there is one. Their order and number stay.
    """
    listed = list(diagnoses)
    if not any(diagnosis.condition for diagnosis in listed):
        return listed
    ranking = _ranking(listed, view)
    by_mode = {ranked.failure_mode: ranked for ranked in ranking}
    return [_advised(d, by_mode, ranking, view, knowledge) if d.condition else d for d in listed]


def _ranking(diagnoses: Sequence[Diagnosis], view: CaseView | None) -> list[RankedMode]:
    voices: dict[str, list[Voice]] = {}
    for diagnosis in diagnoses:
        kind = diagnosis.source.partition(":")[0]
        said = voices.setdefault(diagnosis.failure_mode, [])
        if kind == "rule" and diagnosis.condition:
            said.append(Voice("rule", RULE_TRUST[diagnosis.ticket], 1.0))
        elif diagnosis.source.startswith(f"model:{FAILURE}@") and diagnosis.probability is not None:
            said.append(Voice(FAILURE, diagnosis.probability, 1.0))
    for mode, probability in (view.probabilities if view is not None else {}).items():
        assert view is not None
        weight = (view.cases_of(mode) + PRIOR_CASES) / (view.cases_of(mode) + PRIOR_CASES + MIN_CASES)
        voices.setdefault(mode, []).append(Voice(CASEBASE, probability, weight))
    ranked = [
        RankedMode(
            failure_mode=mode,
            probability=pooled(said),
            cases=view.cases_of(mode) if view is not None else 0,
            voices=tuple(dict.fromkeys(voice.name for voice in said)),
        )
        for mode, said in voices.items()
        if said and mode != ANOMALY.code
    ]
    return sorted(ranked, key=lambda one: (-one.probability, one.failure_mode))


def _advised(
    diagnosis: Diagnosis,
    by_mode: Mapping[str, RankedMode],
    ranking: Sequence[RankedMode],
    view: CaseView | None,
    knowledge: Knowledge,
) -> Diagnosis:
    own = by_mode.get(diagnosis.failure_mode)
    shown = [one for one in ranking if one is own or one.probability >= LEAST]
    mode = knowledge.failure_modes.get(diagnosis.failure_mode)
    cases = view.records.get(diagnosis.failure_mode, ()) if view is not None else ()
    seen = view.shown if view is not None else ()
    return replace(
        diagnosis,
        probability=own.probability if own is not None else diagnosis.probability,
        ranking=tuple(shown[:RANKED] if own in shown[:RANKED] or own is None else [own, *shown[: RANKED - 1]]),
        causes=_candidates("causes", cases, seen, mode),
        repairs=_candidates("actions", cases, seen, mode),
        parts=_candidates("parts", cases, seen, mode),
    )


def _candidates(
    kind: Kind, cases: Sequence[CaseRecord], seen: Sequence[str], mode: FailureMode | None
) -> tuple[Candidate, ...]:
    expected, names = _expected(kind, mode) if mode is not None else ({}, {})
    found: list[Remedy] = remedies(cases, kind, seen, expected, names)
    return tuple(Candidate(one.name, one.probability, one.cases) for one in found[:RANKED])


def _expected(kind: Kind, mode: FailureMode) -> tuple[dict[str, float], dict[str, str]]:
    """Return what the knowledge base expects, and by which names records may call it (lower case)."""
    if kind == "causes":
        names = {word.lower(): c.code for c in mode.causes for word in (c.code, c.title.en, c.title.zh)}
        return {cause.code: cause.share for cause in mode.causes}, names
    if kind == "actions":
        names = {
            word.lower(): r.code for r in mode.repairs for word in (r.code, r.title.en, r.title.zh, *r.recorded_as)
        }
        return {repair.code: repair.share for repair in mode.repairs}, names
    return {**dict.fromkeys(mode.parts, 0.0), **mode.part_shares}, {part.lower(): part for part in mode.parts}


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(bounded) - math.log1p(-bounded)
