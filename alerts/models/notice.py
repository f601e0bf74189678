"""What there is to tell people, and when they were last written to."""

from __future__ import annotations

from django.db import models

from alerts.models.alert import Alert


class Notice(models.Model):
    """One thing to tell one person of an alert; it waits until a letter has taken it along."""

    class Reason(models.TextChoices):
        """What there is to tell."""

        NEW = "new"
        AGAIN = "again"
        """Told before, and back after it had returned to normal or was left alone."""
        ESCALATED = "escalated"
        HOLD_ENDED = "hold-ended"
        HANDED_OVER = "handed-over"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notices")
    address = models.CharField(max_length=255)
    reason = models.CharField(max_length=12, choices=Reason)
    about = models.CharField(max_length=100, blank=True)
    """Name of the tier, where one is called."""
    at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    refused = models.CharField(max_length=500, blank=True)
    """Why the mail server will not take letters to this address; such a notice is not tried again."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["alert", "address", "reason", "at"], name="everything_is_told_once")
        ]
        indexes = [models.Index(fields=["sent_at", "address"])]

    def __str__(self) -> str:
        return f"{self.address} {self.reason} {self.alert}"


class Mailbox(models.Model):
    """When a person was last written to: what holds the limit, also between two processes."""

    address = models.CharField(max_length=255, unique=True)
    last_sent_at = models.DateTimeField()
    sent = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    """Letters that the mail server took, and attempts that it did not."""
    last_error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.address
