"""The ticket of an alert, and the outbox that it waits in."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from alerts.models.alert import Alert


class Ticket(models.Model):
    """The ticket of an alert's episode: an outbox row until the ticket system holds it."""

    class Status(models.TextChoices):
        """What became of the delivery."""

        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"
        HELD_BACK = "held_back"
        """People will not fix it, as they said of an earlier episode; ``last_error`` says where."""
        GROUPED = "grouped"
        """Another alert's ticket names this one's asset too."""

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
    wont_fix_ended_why = models.CharField(max_length=500, blank=True)
    carrier = models.ForeignKey("self", null=True, on_delete=models.RESTRICT, related_name="carried")
    """The ticket that this one went into; of a grouped one alone."""
    released_at = models.DateTimeField(null=True)
    """When it was found to be one of its own, or the one of its group, and free to be sent."""

    class Meta:
        indexes = [models.Index(fields=["status", "next_attempt_at"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="grouped", carrier__isnull=False) | (~Q(status="grouped") & Q(carrier__isnull=True)),
                name="a_grouped_ticket_has_a_carrier",
            )
        ]

    def __str__(self) -> str:
        return self.key
