"""What people decide of an alert: holds, and steps to the factory."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from alerts.models.alert import Alert


class Hold(models.Model):
    """A person's decision to leave an asset, or one failure mode of it, alone; at most one of a kind is in force."""

    class Kind(models.TextChoices):
        """Shelved: for a while. Out of service: until somebody puts it back, or a given end."""

        SHELVED = "shelved"
        OUT_OF_SERVICE = "out-of-service"

    kind = models.CharField(max_length=16, choices=Kind)
    asset_id = models.CharField(max_length=64)
    failure_mode = models.CharField(max_length=32, blank=True)
    """Empty: the whole asset."""
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    why = models.CharField(max_length=500)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    by_name = models.CharField(max_length=150)
    """As the person was called then: it stays readable after the user is gone."""
    ended_at = models.DateTimeField(null=True)
    ended_by_name = models.CharField(max_length=150, blank=True)
    """Empty where it ended by itself."""

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "asset_id", "failure_mode"],
                condition=Q(ended_at__isnull=True),
                name="one_hold_of_a_kind_in_force",
            ),
            models.CheckConstraint(
                condition=~Q(kind="shelved") | Q(until__isnull=False), name="every_shelf_has_an_end"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.asset_id}/{self.failure_mode}"


class Handover(models.Model):
    """One step of a case on its way from the depot to technical support to the factory, or back."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="handovers")
    destination = models.CharField(max_length=8, choices=Alert.Destination)
    confirms = models.BooleanField(default=False)
    """Technical support confirmed the case; it stays where it is."""
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    by_name = models.CharField(max_length=150)
    note = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.alert} {self.destination} {self.at}"
