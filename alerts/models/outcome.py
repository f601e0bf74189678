"""What the field reports and what the workshop found, and how far it was asked for."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.alert import Alert


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
    whole_group = models.BooleanField(default=False)
    """Whether it was said of all alerts of its failure mode that the ticket stands for."""
    told_on = models.ForeignKey(Alert, null=True, on_delete=models.SET_NULL, related_name="+")
    """The alert on which it was said for the whole group; empty where it is this one's own."""
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
