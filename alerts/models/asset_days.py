"""What each asset-day left behind."""

from __future__ import annotations

from django.db import models


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
