"""The relational tables: what each asset-day left behind, alerts, tickets and the outbox."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class AssetDayRun(models.Model):
    """The ledger's row of one asset-day; recording it again replaces it and counts a revision."""

    asset_id = models.CharField(max_length=64)
    day = models.DateField()
    arrivals_revision = models.BigIntegerField()
    revision = models.PositiveIntegerField(default=0)
    features = models.JSONField()
    fault_log = models.JSONField()
    health = models.JSONField(default=dict)
    """0 to 100 by failure mode; what is not known that day is absent."""
    completeness = models.FloatField()
    model_version = models.CharField(max_length=64, blank=True)
    rules_version = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset_id", "day"], name="one_run_per_asset_day")]
        indexes = [models.Index(fields=["day"])]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.day}"


class Score(models.Model):
    """One detector's score of one asset-day."""

    asset_id = models.CharField(max_length=64)
    day = models.DateField()
    detector = models.CharField(max_length=48)
    version = models.CharField(max_length=64)
    score = models.FloatField()
    threshold = models.FloatField()
    level = models.FloatField()
    contributions = models.JSONField(default=list)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["asset_id", "day", "detector"], name="one_score_per_detector")]
        indexes = [models.Index(fields=["day"])]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.day} {self.detector}"


class Alert(models.Model):
    """One episode of one failure mode on one asset; at most one is open, and the database holds that."""

    class State(models.TextChoices):
        """The states of ``alerts.lifecycle``."""

        UNACKNOWLEDGED = "unacknowledged"
        ACKNOWLEDGED = "acknowledged"
        RETURNED = "returned"
        CLOSED = "closed"

    asset_id = models.CharField(max_length=64)
    failure_mode = models.CharField(max_length=32)
    episode = models.PositiveIntegerField()
    state = models.CharField(max_length=16, choices=State)
    severity = models.CharField(max_length=8)
    source = models.CharField(max_length=120)
    ticket = models.CharField(max_length=8)
    """``auto``, or ``review``: opened after somebody confirmed."""
    first_day = models.DateField()
    last_day = models.DateField()
    last_true_day = models.DateField()
    days_seen = models.PositiveIntegerField(default=1)
    days_clear = models.PositiveIntegerField(default=0)
    known_at = models.DateTimeField()
    act_by = models.DateTimeField()
    suppressed_by = models.CharField(max_length=200, blank=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    closed_at = models.DateTimeField(null=True)
    closed_reason = models.CharField(max_length=200, blank=True)
    repeat_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="repeats")
    """The earlier episode with an outcome after which it came back: this one is a repeat offender."""
    held = models.BooleanField(default=False)
    """A repeat offender whose root cause is not recorded yet: nothing closes it."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["asset_id", "failure_mode"], condition=~Q(state="closed"), name="one_open_alert_per_fingerprint"
            ),
            models.UniqueConstraint(fields=["asset_id", "failure_mode", "episode"], name="one_alert_per_episode"),
        ]
        indexes = [models.Index(fields=["state", "act_by"])]

    def __str__(self) -> str:
        return f"{self.asset_id}/{self.failure_mode}/{self.episode}"


class AlertDay(models.Model):
    """What was said of an alert on one day, as the reviewer sees it."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="days")
    day = models.DateField()
    condition = models.BooleanField(null=True)
    source = models.CharField(max_length=120, blank=True, db_index=True)
    """Who said it, as in the diagnosis."""
    diagnosis = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["alert", "day"], name="one_diagnosis_per_alert_day")]
        ordering = ["day"]

    def __str__(self) -> str:
        return f"{self.alert} {self.day}"


class Ticket(models.Model):
    """The ticket of an alert's episode: an outbox row until the ticket system holds it."""

    class Status(models.TextChoices):
        """What became of the delivery."""

        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"
        HELD_BACK = "held_back"
        """People will not fix it, as they said of an earlier episode; ``last_error`` says where."""

    alert = models.OneToOneField(Alert, on_delete=models.CASCADE, related_name="case")
    key = models.CharField(max_length=120, unique=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    created_at = models.DateTimeField()
    connector = models.CharField(max_length=48, blank=True)
    external_key = models.CharField(max_length=120, blank=True)
    url = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    wont_fix_since = models.DateTimeField(null=True)
    """When it was first seen that people closed it as *won't fix*; ``None`` while they have not."""
    wont_fix_ended_at = models.DateTimeField(null=True)
    wont_fix_ended_by = models.CharField(max_length=150, blank=True)
    """Who decided that the next episode gets a ticket all the same."""

    class Meta:
        indexes = [models.Index(fields=["status", "next_attempt_at"])]

    def __str__(self) -> str:
        return self.key


class FieldRecord(models.Model):
    """What the field reports of an asset: a repair or a failure. Closes alerts and labels days for the models."""

    class Kind(models.TextChoices):
        """What happened."""

        MAINTENANCE = "maintenance"
        FAILURE = "failure"

    asset_id = models.CharField(max_length=64)
    at = models.DateTimeField()
    kind = models.CharField(max_length=12, choices=Kind)
    what = models.CharField(max_length=120)
    """Failure mode of a failure; component and action of a maintenance."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asset_id", "at", "kind", "what"], name="one_row_per_field_record")
        ]
        indexes = [models.Index(fields=["at"])]

    def __str__(self) -> str:
        return f"{self.asset_id} {self.at} {self.kind} {self.what}"


class Outcome(models.Model):
    """What the workshop found of an alert. One is current; a correction supersedes it and keeps it."""

    class Verdict(models.TextChoices):
        """``config.settings.Verdict``."""

        CONFIRMED = "confirmed"
        FALSE_ALARM = "false_alarm"
        NO_TROUBLE_FOUND = "no_trouble_found"

    class Source(models.TextChoices):
        """How it came in."""

        WEBHOOK = "webhook"
        POLL = "poll"
        CONSOLE = "console"
        IMPORT = "import"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="outcomes")
    verdict = models.CharField(max_length=16, choices=Verdict)
    at = models.DateTimeField()
    """When it was found, or the repair done."""
    by = models.CharField(max_length=120, blank=True)
    source = models.CharField(max_length=8, choices=Source)
    cause = models.CharField(max_length=1000, blank=True)
    root_cause = models.CharField(max_length=1000, blank=True)
    failure_mode = models.CharField(max_length=32, blank=True)
    """What it was, where that is another failure mode than the alert's."""
    action = models.CharField(max_length=1000, blank=True)
    parts = models.JSONField(default=list)
    downtime_hours = models.FloatField(null=True)
    cost = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["alert"], condition=Q(superseded_at=None), name="one_current_outcome_per_alert"
            )
        ]
        indexes = [models.Index(fields=["at"])]

    def __str__(self) -> str:
        return f"{self.alert} {self.verdict}"


class SeenSignature(models.Model):
    """A signature that was accepted; until it expires by its own time nobody may use it again."""

    signature = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.signature


class Refusal(models.Model):
    """How often an outcome was refused, by reason."""

    reason = models.CharField(max_length=40, unique=True)
    count = models.PositiveBigIntegerField(default=0)
    last_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.reason}: {self.count}"


class Polled(models.Model):
    """Up to which change a ticket system's changes are known."""

    connector = models.CharField(max_length=48, unique=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.connector} {self.until}"


class Speaker(models.Model):
    """One version of a rule or model that speaks of a failure mode, and the days on which it did."""

    source = models.CharField(max_length=120)
    failure_mode = models.CharField(max_length=32)
    asset_type = models.CharField(max_length=64, blank=True)
    first_day = models.DateField()
    last_day = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source", "failure_mode", "asset_type"], name="one_row_per_speaker")
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.failure_mode}"


class Probation(models.Model):
    """A version of a rule or model whose alerts get no ticket by themselves, until a person lets it."""

    source = models.CharField(max_length=120)
    since = models.DateTimeField()
    why = models.CharField(max_length=200)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=120, blank=True)
    ended_why = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["source"], condition=Q(ended_at=None), name="one_probation_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.source} since {self.since}"
