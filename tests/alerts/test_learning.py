"""What the workshop found is what the failure model learns from: through the tables and the trainer of the service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from diagnoses import DAY, diagnosis, outcome
from small_fleet import BERLIN, PUMP, settings

from alerts.outcomes.finding import Finding
from config.register import Asset, Register
from diagnostics.training import Trainer
from models.derive import derived_panel
from models.registry import Registry

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tables")]
ASSETS, DAYS, BUMP = 40, 50, 8.0
NAMES = [f"P-{n:02}" for n in range(ASSETS)]
SETTINGS = settings(min_training_days=10, horizon_days=5, false_tickets_per_100_asset_days=2.0)


def live(seed: int = 3) -> dict[str, tuple[str, int]]:
    """Let each pump have one strange time of three days, hot or drawing current, on which the rule raises HOT; return
    which, and the day of the alert.
    """
    from alerts.ledger import DjangoLedger

    rng = np.random.default_rng(seed)
    strange = {name: (("temp", "current")[n % 2], int(rng.integers(15, DAYS - 12))) for n, name in enumerate(NAMES)}
    ledger = DjangoLedger()
    for day in range(DAYS):
        days = []
        for name, (signal, began) in strange.items():
            features = {"temp.mean": rng.normal(50, 1), "current.mean": rng.normal(10, 1), "completeness": 1.0}
            if began <= day < began + 3:
                features[f"{signal}.mean"] += BUMP
            said = diagnosis(
                DAY + timedelta(days=day), began <= day < began + 3, asset_id=name, failure_mode="HOT", ticket="review"
            )
            days.append(outcome(said, features=features))
        ledger.record(days)
    return strange


def find(strange: dict[str, tuple[str, int]], verdicts: dict[str, str]) -> None:
    """Let the workshop look at each alert on its third day; ``verdicts`` by what was strange."""
    from alerts.models import Alert, Outcome
    from alerts.outcomes.record import record

    for alert in Alert.objects.order_by("pk"):
        signal, began = strange[alert.asset_id]
        at = datetime(DAY.year, DAY.month, DAY.day, 15, tzinfo=UTC) + timedelta(days=began + 2)
        finding = Finding(verdict=verdicts[signal], at=at)  # type: ignore[arg-type]
        record(alert.pk, finding, Outcome.Source.CONSOLE, SETTINGS, at)


def fitted(folder: Path) -> Any:
    from alerts.ledger import DjangoLedger

    register = Register((BERLIN,), (PUMP,), tuple(Asset(id=n, asset_type="pump", site="berlin") for n in NAMES))
    trainer = Trainer(register, SETTINGS, DjangoLedger(), Registry(folder))
    active = trainer.fit(PUMP, DAY + timedelta(days=DAYS - 1), datetime(2027, 1, 1, tzinfo=UTC))
    assert active is not None
    return active.learned.failure


def test_the_failure_model_learns_what_was_confirmed_and_unlearns_what_was_corrected(tmp_path: Path) -> None:
    from alerts.ledger import DjangoLedger

    strange = live()
    assert fitted(tmp_path / "before") is None  # nobody has said what anything was
    find(strange, {"temp": "confirmed", "current": "false_alarm"})
    model = fitted(tmp_path / "after")
    assert list(model.thresholds()) == ["HOT"]
    base = DjangoLedger().history(NAMES, DAY, DAY + timedelta(days=DAYS))
    base = base[[name for name in base.columns if not name.startswith("score.")]]
    records = DjangoLedger().field_records(NAMES, 2**62)
    assert (len(records["failures"]), len(DjangoLedger().sound_days(NAMES, 2**62))) == (ASSETS // 2, 3 * ASSETS // 2)
    derived = derived_panel(base, pd.Series("berlin", index=NAMES))
    risks = model.risks(model.inputs(base, derived, records["maintenance"]))["HOT"]
    at = {
        signal: [
            (name, pd.Timestamp(DAY + timedelta(days=began + 1))) for name, (s, began) in strange.items() if s == signal
        ]
        for signal in ("temp", "current")
    }
    hot, current = risks.loc[at["temp"]].median(), risks.loc[at["current"]].median()
    assert hot > SETTINGS.models.min_probability  # enough to raise it
    assert current < 0.2
    find(strange, {"temp": "no_trouble_found", "current": "false_alarm"})
    assert fitted(tmp_path / "corrected") is None
