"""A case on its way: whoever tries what, nothing unconfirmed reaches the factory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from diagnoses import diagnosis, outcome
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from alerts.lifecycle.not_allowed import NotAllowed
from alerts.support.destination import Case, confirmed, passed_on, sent_back
from config.installation import load
from config.settings import Notify, Support
from config.support import Tier

NOW = datetime(2026, 5, 5, 8, tzinfo=UTC)
RAIL = Path(__file__).parents[2] / "config" / "rail"


class Way(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.case = Case()
        self.confirmed_since_the_depot = False

    @rule(
        step=st.sampled_from([confirmed, passed_on, sent_back]),
        by_support=st.booleans(),
        note=st.sampled_from(["", "  ", "seen and measured"]),
    )
    def somebody_tries(self, step: Any, by_support: bool, note: str) -> None:
        before = self.case
        try:
            self.case = step(before, by_support=by_support, note=note)
        except NotAllowed:
            return
        assert note.strip()
        assert by_support or (before, self.case) == (Case("depot"), Case("support"))
        if step is confirmed:
            self.confirmed_since_the_depot = True
        if self.case.destination == "depot":
            self.confirmed_since_the_depot = False

    @invariant()
    def the_factory_has_only_what_was_confirmed(self) -> None:
        assert self.case.confirmed == self.confirmed_since_the_depot
        assert self.case.destination != "factory" or self.case.confirmed


Way.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestWay = Way.TestCase


@pytest.mark.usefixtures("tables")
class TestInTheTables:
    def people(self) -> tuple[Any, Any]:
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group

        from alerts.support.handover import TECHNICAL_SUPPORT

        anna, sun = (get_user_model().objects.create_user(name) for name in ("anna", "sun"))
        sun.groups.add(Group.objects.get(name=TECHNICAL_SUPPORT))
        return anna, sun

    def alert(self) -> Any:
        from alerts.ledger import DjangoLedger
        from alerts.models import Alert

        DjangoLedger().record([outcome(diagnosis())])
        return Alert.objects.get()

    def test_a_case_reaches_the_factory_after_support_confirmed_it_and_each_step_is_kept(self) -> None:
        from alerts.models import Handover, Notice
        from alerts.support import handover

        anna, sun = self.people()
        alert, sample = self.alert(), load(RAIL)
        tiers = (Tier(name="Desk", addresses=("d@example.org",)), Tier(name="Support", addresses=("s@example.org",)))
        told = sample.settings.model_copy(
            update={"support": Support(tiers=tiers, factory=("f@example.org",)), "notify": Notify(host="127.0.0.1")}
        )

        def pass_on(user: Any, note: str = "please look") -> None:
            handover.pass_on(alert.pk, user, note, NOW, sample.register, told)

        pass_on(anna)
        with pytest.raises(NotAllowed, match="support only"):
            pass_on(anna)
        with pytest.raises(NotAllowed, match="not confirmed"):
            pass_on(sun)
        with pytest.raises(NotAllowed, match="support only"):
            handover.confirm(alert.pk, anna, "it is", NOW)
        handover.confirm(alert.pk, sun, "seal is of the wrong grade", NOW)
        pass_on(sun)
        alert.refresh_from_db()
        assert (alert.destination, alert.verified_by, alert.verified_note) == (
            "factory", sun, "seal is of the wrong grade",
        )  # fmt: skip
        steps = Handover.objects.values_list("destination", "confirms", "by_name")
        assert list(steps) == [("support", False, "anna"), ("support", True, "sun"), ("factory", False, "sun")]
        assert list(Notice.objects.order_by("id").values_list("address", "about")) == [
            ("s@example.org", "support"), ("f@example.org", "factory"),
        ]  # fmt: skip
        handover.send_back(alert.pk, sun, "repaired on site", NOW + timedelta(days=1))
        alert.refresh_from_db()
        assert (alert.destination, alert.verified_at) == ("depot", None)

    def test_the_database_itself_lets_nothing_unconfirmed_go(self) -> None:
        from django.db import IntegrityError

        from alerts.models import Alert

        self.alert()
        with pytest.raises(IntegrityError, match="nothing_unconfirmed_goes_to_the_factory"):
            Alert.objects.update(destination="factory")
