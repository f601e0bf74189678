"""The ledger of asset-days in the relational tables: what was scored, and what followed, in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter

import numpy as np
import pandas as pd
from django.db import connection, transaction
from django.db.models import Model

from alerts.lifecycle.plain import number, plain_contributions, plain_fault_log
from alerts.lifecycle.raising import raise_alerts
from alerts.lifecycle.repeat_offenders import mark_repeats
from alerts.lifecycle.review import close_repaired
from alerts.models import Alert, AssetDayRun, FieldRecord, Score
from alerts.outcomes.labels import confirmed_findings, confirmed_records, sound_days
from alerts.outcomes.probation import under_review
from alerts.outcomes.speakers import note_speakers
from config.installation import Installation
from config.settings import Outcomes
from diagnostics.records import AnomalyScore, AssetDay, DayOutcome
from models.cases import OUTCOME_COLUMNS
from models.panel import panel_index

_ROWS = 500


class DjangoLedger:
    """``diagnostics.ledger.Ledger`` on Django's tables."""

    keeps_days = True
    """Whether what was said on each day of an alert is kept, for people and for what the workshop finds."""

    def __init__(self) -> None:
        self._outcomes = Outcomes()
        self._asset_types: Mapping[str, str] = {}

    def adopt(self, installation: Installation) -> None:
        """Follow this installation's register and settings from now on."""
        self._outcomes = installation.settings.outcomes
        self._asset_types = {asset.id: asset.asset_type for asset in installation.register.assets.values()}

    def done(self, asset_ids: Collection[str], first: date, last: date) -> Mapping[AssetDay, int]:
        """Return the arrivals revision at which each recorded asset-day was scored."""
        rows = AssetDayRun.objects.filter(day__range=(first, last)).values_list("asset_id", "day", "arrivals_revision")
        wanted = set(asset_ids)
        return {AssetDay(asset_id, day): revision for asset_id, day, revision in rows if asset_id in wanted}

    def history(self, asset_ids: Collection[str], first: date, last: date) -> pd.DataFrame:
        """Return the recorded base features as a panel, with the levels of their scores."""
        wanted = set(asset_ids)
        features: dict[tuple[str, date], dict[str, float]] = {
            (asset_id, day): values
            for asset_id, day, values in AssetDayRun.objects.filter(day__range=(first, last)).values_list(
                "asset_id", "day", "features"
            )
            if asset_id in wanted
        }
        for asset_id, day, detector, level in Score.objects.filter(day__range=(first, last)).values_list(
            "asset_id", "day", "detector", "level"
        ):
            if (asset_id, day) in features:
                features[asset_id, day][f"score.{detector}"] = level
        keys = sorted(features)
        frame = pd.DataFrame.from_records([features[key] for key in keys]).astype("float64")
        frame.index = panel_index([asset_id for asset_id, _ in keys], [np.datetime64(day, "D") for _, day in keys])
        return frame

    @transaction.atomic
    def record(self, outcomes: Sequence[DayOutcome]) -> None:
        """Write the outcomes, and the alerts and tickets that follow from them."""
        self._keep(outcomes)
        self._raise(outcomes)

    def open_alerts(self) -> Collection[tuple[str, str]]:
        """Return asset and failure mode of each open alert."""
        return set(Alert.objects.exclude(state=Alert.State.CLOSED).values_list("asset_id", "failure_mode"))

    def _raise(self, outcomes: Sequence[DayOutcome]) -> None:
        """Bring alerts and tickets up to date."""
        note_speakers(outcomes, self._asset_types)
        raise_alerts(under_review(outcomes), keep_days=self.keeps_days)
        mark_repeats(self._outcomes.repeat_days)

    def _keep(self, outcomes: Sequence[DayOutcome]) -> None:
        """Write what each asset-day left behind."""
        keys = {(o.log.asset_id, o.log.day) for o in outcomes}
        recorded = AssetDayRun.objects.filter(day__in={day for _, day in keys}).values_list("asset_id", "day")
        again_keys = keys.intersection(recorded)
        earlier = {
            (row.asset_id, row.day): row
            for asset_id, day in again_keys
            for row in AssetDayRun.objects.filter(asset_id=asset_id, day=day)
        }
        new, again = [], []
        for outcome in outcomes:
            row = earlier.get((outcome.log.asset_id, outcome.log.day))
            if row is None:
                row = AssetDayRun(asset_id=outcome.log.asset_id, day=outcome.log.day)
                new.append(row)
            else:
                row.revision += 1
                again.append(row)
            row.arrivals_revision = outcome.arrivals_revision
            row.features = {name: value for name, value in outcome.features.items() if number(value) is not None}
            row.fault_log = plain_fault_log(outcome.log)
            row.completeness = outcome.log.completeness
            row.health = {mode: round(value, 1) for mode, value in outcome.health.items()}
            row.model_version, row.rules_version = outcome.model_version, outcome.rules_version
        _insert(new)
        changed = ["revision", "arrivals_revision", "features", "fault_log", "completeness", "health"]
        changed += ["model_version", "rules_version"]
        AssetDayRun.objects.bulk_update(again, changed, batch_size=100)
        for row in again:
            Score.objects.filter(asset_id=row.asset_id, day=row.day).delete()
        _insert([_score_row(score) for o in outcomes for score in o.scores])

    @transaction.atomic
    def note_field_records(self, records: Collection[tuple[str, int, str, str]]) -> int:
        """Keep (asset, time in ns, ``maintenance`` or ``failure``, what); return how many of them are new."""
        before = FieldRecord.objects.count()
        FieldRecord.objects.bulk_create(
            [
                FieldRecord(asset_id=asset_id, at=_instant(at), kind=kind, what=what[:120])
                for asset_id, at, kind, what in records
            ],
            ignore_conflicts=True,
            batch_size=_ROWS,
        )
        return FieldRecord.objects.count() - before

    def field_records(self, asset_ids: Collection[str], until: int) -> dict[str, pd.DataFrame]:
        """Return ``failures`` and ``maintenance`` up to an instant (ns): ``asset_id``, ``time`` (ns), ``what``.

        What the workshop confirmed and did is among them; ``outcomes`` is what it found (``models.cases``).
        """
        wanted = set(asset_ids)
        rows: defaultdict[str, list[tuple[str, int, str]]] = defaultdict(list)
        for record in FieldRecord.objects.filter(at__lte=_instant(until)).order_by("at"):
            if record.asset_id in wanted:
                at = round(record.at.timestamp() * 1000) * 1_000_000
                rows[record.kind].append((record.asset_id, at, record.what))
        for kind, asset_id, found, what in confirmed_records(_instant(until)):
            if asset_id in wanted:
                rows[kind].append((asset_id, round(found.timestamp() * 1000) * 1_000_000, what))
        answers = [
            (asset_id, round(at.timestamp() * 1000) * 1_000_000, *words)
            for asset_id, at, *words in confirmed_findings(_instant(until))
            if asset_id in wanted
        ]
        outcomes = pd.DataFrame(answers, columns=list(OUTCOME_COLUMNS)).astype({"time": "int64"})
        return {"outcomes": outcomes} | {
            name: pd.DataFrame(sorted(rows[kind], key=itemgetter(1)), columns=["asset_id", "time", "what"]).astype(
                {"time": "int64"}
            )
            for name, kind in (("failures", "failure"), ("maintenance", "maintenance"))
        }

    def sound_days(self, asset_ids: Collection[str], until: int) -> pd.DataFrame:
        """Return the asset-days on which an alert spoke and of which the workshop said up to an instant (ns) that
        nothing was wrong: ``asset_id``, ``day`` (``datetime64``), ``what``, the failure mode.
        """
        wanted = set(asset_ids)
        rows = [row for row in sound_days(_instant(until)) if row[0] in wanted]
        return pd.DataFrame(rows, columns=["asset_id", "day", "what"]).astype({"day": "datetime64[s]"})

    @transaction.atomic
    def close_repaired(self, asset_ids: Collection[str], after: int, until: int) -> int:
        """Close alerts by the repairs and failures recorded in (after, until] (ns); return how many were closed."""
        wanted = set(asset_ids)
        known: dict[str, datetime] = {}
        for asset_id, at in Alert.objects.exclude(state=Alert.State.CLOSED).values_list("asset_id", "known_at"):
            if asset_id in wanted:
                known[asset_id] = min(at, known.get(asset_id, at))
        if not known:
            return 0
        since = max(_instant(after), min(known.values()) - timedelta(milliseconds=1))
        closed = 0
        records = FieldRecord.objects.filter(at__gt=since, at__lte=_instant(until)).order_by("at", "pk")
        for asset_id, at, kind, what in records.values_list("asset_id", "at", "kind", "what"):
            if asset_id in known and at >= known[asset_id]:
                closed += close_repaired(asset_id, at, f"{kind}: {what}")
        return closed


def _insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one table, as the ORM's own bulk insert does, which takes most of a large fleet's day."""
    if not rows:
        return
    fields = [field for field in rows[0]._meta.concrete_fields if not field.primary_key]
    names = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    marks = ", ".join("%s" for _ in fields)
    statement = f"INSERT INTO {connection.ops.quote_name(rows[0]._meta.db_table)} ({names}) VALUES ({marks})"  # noqa: S608
    prepared = [(field.attname, field.get_db_prep_save) for field in fields]
    with connection.cursor() as cursor:
        cursor.executemany(
            statement, [[prepare(getattr(row, name), connection) for name, prepare in prepared] for row in rows]
        )


def _instant(at: int) -> datetime:
    # Milliseconds are enough for what people write down, and exact in a float.
    return datetime.fromtimestamp(max(at, 0) // 1_000_000 / 1000, UTC)


def _score_row(score: AnomalyScore) -> Score:
    return Score(
        asset_id=score.asset_id,
        day=score.day,
        detector=score.detector,
        version=score.version,
        score=score.score,
        threshold=score.threshold,
        level=score.level,
        contributions=plain_contributions(score),
    )
