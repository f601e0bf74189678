"""Rules, failure model and case base rank failure modes with one voice, and say what mends them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.knowledge import Cause, FailureMode, Knowledge, Repair
from config.register import Text
from diagnostics.advice import RULE_TRUST, Voice, pooled, with_advice
from diagnostics.case_view import CaseView
from diagnostics.records import Candidate, Diagnosis
from models.cases import CaseRecord

X = Text(en="x", zh="x")
SAID = Diagnosis(
    asset_id="A",
    day=date(2026, 1, 1),
    failure_mode="LEAK",
    source="rule:leak@1",
    condition=True,
    severity="minor",
    act_within_hours=48,
    known_at=datetime(2026, 1, 2, tzinfo=UTC),
    text=X,
    ticket="auto",
)
FORESEEN = replace(SAID, source="model:failure@1", probability=0.6)
STRANGE = replace(SAID, failure_mode="ANOMALY", source="model:ensemble@1", ticket="review")
CAUSES = (Cause(code="chafed", title=Text(en="Chafed", zh="磨破"), share=0.6), Cause(code="aged", title=X, share=0.4))
REPAIRS = (
    Repair(code="hose", title=X, share=0.5, parts={"HOSE": 1.0, "SEAL": 0.5}, recorded_as=("Hose renewed",)),
    Repair(code="seal", title=X, share=0.4, parts={"SEAL": 1.0}),
)
LEAK = FailureMode(code="LEAK", title=X, parts=("HOSE", "SEAL"), causes=CAUSES, repairs=REPAIRS)
KNOWLEDGE = Knowledge(failure_modes={"LEAK": LEAK})


def view(cases: int = 30, **probabilities: float) -> CaseView:
    records = {"LEAK": tuple(CaseRecord((), ("hose renewed",), ("Chafed",), ("HOSE",)) for _ in range(min(cases, 4)))}
    return CaseView(probabilities, ("faults.F1",), dict.fromkeys(probabilities, cases), records)


SHARES = st.floats(0.001, 0.999)


@given(st.lists(st.tuples(SHARES, st.floats(0.05, 1.0)), min_size=1, max_size=5))
def test_a_pool_lies_between_its_voices_and_asks_them_in_any_order(said: list[tuple[float, float]]) -> None:
    voices = [Voice(str(n), p, w) for n, (p, w) in enumerate(said)]
    probabilities = [voice.probability for voice in voices]
    together = pooled(voices)
    assert min(probabilities) - 1e-9 <= together <= max(probabilities) + 1e-9
    assert pooled(voices[::-1]) == pytest.approx(together)
    assert pooled([voices[0], voices[0]]) == pytest.approx(voices[0].probability)  # said twice is not more


def test_rules_failure_model_and_cases_are_pooled() -> None:
    [rule, foreseen] = with_advice([SAID, FORESEEN], view(LEAK=0.9), KNOWLEDGE)
    weight = (30 + 4) / (30 + 4 + 15)
    expected = pooled([Voice("", RULE_TRUST["auto"], 1), Voice("", 0.6, 1), Voice("", 0.9, weight)])
    assert rule.probability == foreseen.probability == pytest.approx(expected)
    assert rule.ranking[0].voices == ("rule", "failure", "casebase")
    assert rule.ranking[0].cases == 30
    few = with_advice([SAID], view(0, LEAK=0.01), KNOWLEDGE)[0].probability
    many = with_advice([SAID], view(300, LEAK=0.01), KNOWLEDGE)[0].probability
    assert few is not None
    assert many is not None
    assert 0.8 > few > many  # the more cases, the more they weigh


def test_the_modes_are_ranked_the_anomaly_is_not_one_of_them() -> None:
    silent = replace(FORESEEN, failure_mode="WEAR", condition=False, probability=0.2)
    told = with_advice([SAID, STRANGE, silent], view(LEAK=0.5, WEAR=0.3, FIRE=0.02, RARE=0.001), KNOWLEDGE)
    for diagnosis in told[:2]:
        assert [one.failure_mode for one in diagnosis.ranking] == ["LEAK", "WEAR", "FIRE"]
    assert told[1].probability is None  # an anomaly is no failure mode
    assert told[2] == silent  # what does not hold is left as it is


def test_a_diagnosis_always_ranks_itself() -> None:
    others = {f"M{n}": 0.9 for n in range(8)}
    [found] = with_advice([replace(SAID, ticket="review")], view(LEAK=0.001, **others), KNOWLEDGE)
    assert found.ranking[0].failure_mode == "LEAK"
    assert len(found.ranking) == 5


def test_without_a_case_base_the_knowledge_base_speaks() -> None:
    [found] = with_advice([SAID], None, KNOWLEDGE)
    assert found.probability == pytest.approx(RULE_TRUST["auto"])
    assert found.causes == (Candidate("chafed", 0.6, 0), Candidate("aged", 0.4, 0))
    assert found.repairs == (Candidate("hose", 0.5, 0), Candidate("seal", 0.4, 0))
    assert [part.code for part in found.parts] == ["SEAL", "HOSE"]
    assert found.parts[0].probability == pytest.approx(1 - (1 - 0.25) * (1 - 0.4))
    [unknown] = with_advice([replace(SAID, failure_mode="NEW")], None, KNOWLEDGE)
    assert (unknown.causes, unknown.repairs, unknown.parts) == ((), (), ())


def test_records_are_understood_by_every_name_of_a_thing() -> None:
    [found] = with_advice([SAID], view(LEAK=0.5), KNOWLEDGE)
    assert (found.causes[0].code, found.causes[0].cases) == ("chafed", 4)
    assert (found.repairs[0].code, found.repairs[0].cases) == ("hose", 4)
    assert (found.parts[0].code, found.parts[0].cases) == ("HOSE", 4)
    assert found.causes[0].probability > 0.6
    assert found.causes[1].probability < 0.4


def test_what_holds_for_nothing_costs_nothing() -> None:
    silent = [replace(SAID, condition=False), replace(FORESEEN, condition=None)]
    assert with_advice(silent, view(LEAK=0.9), KNOWLEDGE) == silent
