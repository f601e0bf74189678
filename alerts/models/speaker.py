"""Who raises alerts: versions of rules and models, and which of them are on probation."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


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
