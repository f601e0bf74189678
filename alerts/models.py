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
