"""Alerts, what was said of them day by day, and their groups."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class AlertGroup(models.Model):
    """Alerts that belong together: one cause on many assets, or more at once than a site is sent tickets for."""

    class Kind(models.TextChoices):
        """What they have in common."""

        CAUSE = "cause"
        FLOOD = "flood"

    kind = models.CharField(max_length=8, choices=Kind)
    failure_mode = models.CharField(max_length=32, blank=True)
    """Empty for a flood, which may hold several."""
    asset_type = models.CharField(max_length=48, blank=True)
    site = models.CharField(max_length=48, blank=True)
    """Empty for a group over the whole fleet."""
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    """When its first and its latest member were known."""

    class Meta:
        indexes = [models.Index(fields=["kind", "site", "last_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.failure_mode} {self.site} {self.first_at}"


class Alert(models.Model):
    """One episode of one failure mode on one asset; at most one is open, and the database holds that."""

    class State(models.TextChoices):
        """The states of ``alerts.lifecycle.states``."""

        UNACKNOWLEDGED = "unacknowledged"
        ACKNOWLEDGED = "acknowledged"
        RETURNED = "returned"
        CLOSED = "closed"

    class Destination(models.TextChoices):
        """Whose turn it is; ``alerts.support.destination`` says who may pass it on."""

        DEPOT = "depot"
        SUPPORT = "support"
        FACTORY = "factory"

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
    came_back_on = models.JSONField(default=list)
    """Days (ISO) on which the condition held again after the alert had returned to normal."""
    looked_at = models.DateTimeField(null=True)
    """When it was looked for others of its cause; empty until then."""
    group = models.ForeignKey(AlertGroup, null=True, on_delete=models.SET_NULL, related_name="alerts")
    tier = models.PositiveSmallIntegerField(null=True)
    """Of support, from 0, whose turn it is; empty before anybody was called."""
    tier_since = models.DateTimeField(null=True)
    destination = models.CharField(max_length=8, choices=Destination, default=Destination.DEPOT)
    verified_at = models.DateTimeField(null=True)
    """When technical support confirmed that this is a case for the factory."""
    verified_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    verified_note = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(destination="factory") | Q(verified_at__isnull=False),
                name="nothing_unconfirmed_goes_to_the_factory",
            ),
            models.UniqueConstraint(
                fields=["asset_id", "failure_mode"], condition=~Q(state="closed"), name="one_open_alert_per_fingerprint"
            ),
            models.UniqueConstraint(fields=["asset_id", "failure_mode", "episode"], name="one_alert_per_episode"),
        ]
        indexes = [models.Index(fields=["state", "act_by"]), models.Index(fields=["looked_at"])]

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
