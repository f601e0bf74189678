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
        """The states of ``alerts.lifecycle``."""

        UNACKNOWLEDGED = "unacknowledged"
        ACKNOWLEDGED = "acknowledged"
        RETURNED = "returned"
        CLOSED = "closed"

    class Destination(models.TextChoices):
        """Whose turn it is; ``alerts.destination`` says who may pass it on."""

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
