"""Every setting of the program, with its default; ``config/rail/settings.yaml`` shows them all with what they do.

A secret never stands here: a key that ends in ``_env`` names the environment variable that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.mistakes import Mistakes
from config.register import Severity, Strict
from config.support import Email, Tiers, WorkingHours


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be a duration such as 90m, 48h or 7d, not {value!r}")
    return int(match[1]) * {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[match[2]]


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""Written ``90m``, ``48h`` or ``7d``."""


def _variable(value: object) -> object:
    # The value is not repeated in the message: it may be the secret itself.
    if value is not None and not (isinstance(value, str) and re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", value)):
        raise ValueError("must be the name of an environment variable (capital letters, digits, _), not the secret")
    return value


SecretName = Annotated[str, BeforeValidator(_variable)]


def _address(value: str, schemes: tuple[str, ...] = ("http", "https")) -> str:
    parts = urlsplit(value)
    if parts.username is not None or parts.password is not None:
        raise ValueError("must hold no user and no password")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"must be an address such as https://tickets.example.org, not {value!r}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"must name a port from 0 to 65535 or none, not {value!r}") from None
    return value.rstrip("/")


def _ticket_address(value: str) -> str:
    return _address(value, ("http", "https", "smtp", "smtp+starttls", "smtps"))


Address = Annotated[str, Field(max_length=500), AfterValidator(_address)]
TicketAddress = Annotated[str, Field(max_length=500), AfterValidator(_ticket_address)]


def _cluster_address(value: str) -> str:
    if not re.fullmatch(r"(tcp|tls)://[A-Za-z0-9._-]{1,253}:[0-9]{1,5}", value):
        raise ValueError(f"must be the address of a Dask scheduler such as tcp://scheduler:8786, not {value!r}")
    return value


ClusterAddress = Annotated[str, Field(max_length=500), AfterValidator(_cluster_address)]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,253}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def _persistence(value: str) -> str:
    match = re.fullmatch(r"([1-9][0-9]?) of ([1-9][0-9]?)", value)
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError(f"must be such as '2 of 3' (days), not {value!r}")
    return value


TopicPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,3}$")]
StatusName = Annotated[str, Field(min_length=1, max_length=100)]
DecoderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]


class Mqtt(Strict):
    """The broker that the gateways publish to."""

    host: Host = "127.0.0.1"
    port: Port = 1883
    prefix: TopicPrefix = "fleet"
    """First part of every topic: ``{prefix}/{asset_id}/telemetry``."""
    decoders: Mapping[TopicPrefix, DecoderName] = Field(default={}, max_length=32)
    """Other prefixes and what is spoken there, by its file of ``ingest/decoders/``; or what ``prefix`` speaks."""
    client_id: str = Field(default="fleetdx", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Names the session that the broker keeps while the program is away; each running program needs its own."""
    username: str | None = Field(default=None, min_length=1, max_length=200)
    password_env: SecretName | None = None
    tls: bool = False
    ca_file: str | None = Field(default=None, min_length=1, max_length=500)
    """Certificates (PEM) that the broker's is checked against; those of the machine where none is named."""
    cert_file: str | None = Field(default=None, min_length=1, max_length=500)
    """Certificate (PEM) that the program shows to the broker, with its key in ``key_file``."""
    key_file: str | None = Field(default=None, min_length=1, max_length=500)
    version: Literal[3, 5] = 5
    """MQTT 3.1.1 (written 3) or 5."""
    max_in_flight: int = Field(default=2000, ge=10, le=65_535)
    """Messages taken from the broker and not yet acknowledged: bounds memory, and what comes again after a crash."""
    keep_alive_s: int = Field(default=30, ge=5, le=3600)
    share_group: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Several programs of one group share what comes: each message goes to one of them. Needs version 5."""
    client: Literal["paho", "mqtt5"] = "paho"
    """Whose code speaks MQTT. ``mqtt5`` costs a fraction of ``paho``, is younger, and needs version 5."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.version != 5:
            if self.share_group is not None:
                raise Mistakes([(("share_group",), "needs version: 5")])
            if self.client == "mqtt5":
                raise Mistakes([(("client",), "'mqtt5' speaks version: 5 alone")])
        if self.ca_file is not None and not self.tls:
            raise Mistakes([(("ca_file",), "is of no use without tls: true")])
        if self.cert_file is not None and not self.tls:
            raise Mistakes([(("cert_file",), "is of no use without tls: true")])
        if (self.cert_file is None) != (self.key_file is None):
            raise Mistakes([(("cert_file",), "and key_file go together")])
        if self.password_env is not None and self.username is None:
            raise Mistakes([(("password_env",), "needs a username")])
        for prefix in self.decoders:
            for other in {self.prefix, *self.decoders} - {prefix}:
                if f"{prefix}/".startswith(f"{other}/"):
                    message = f"{prefix!r} lies below {other!r}; each topic has one decoder"
                    raise Mistakes([(("decoders",), message)])
        return self


class Store(Strict):
    """Where measurements and fault events are kept. ``url`` to ``timeout_s`` are read for influxdb alone."""

    kind: Literal["duckdb", "influxdb", "memory"] = "duckdb"
    url: Address = "http://127.0.0.1:8086"
    org: str = Field(default="fleetdx", max_length=200)
    bucket: str = Field(default="fleetdx", min_length=1, max_length=200)
    token_env: SecretName = "INFLUX_TOKEN"  # noqa: S105 - the name of the variable
    timeout_s: float = Field(default=30.0, ge=1, le=600)


class Ingest(Strict):
    """How messages are taken in, and what is refused."""

    batch_messages: int = Field(default=1000, ge=1, le=50_000)
    """Messages written to the store in one go."""
    batch_seconds: float = Field(default=0.2, gt=0, le=60)
    """How long a batch waits to fill."""
    max_payload_bytes: int = Field(default=1_000_000, ge=100, le=100_000_000)
    max_samples: int = Field(default=10_000, ge=1, le=1_000_000)
    """Samples in one message."""
    allowed_clock_skew_s: float = Field(default=300.0, ge=0, le=86_400)
    """A sample further in the future than this is quarantined."""
    late_after_minutes: float = Field(default=60.0, gt=0, le=1_000_000)
    """A sample that is older than this when it comes counts as late; it is stored all the same."""
    max_age_days: float = Field(default=400.0, gt=0, le=20_000)
    """A live sample older than this is quarantined; a history that is imported may be older."""
    spool_max_mb: int = Field(default=2_000, ge=0, le=10_000_000)
    """Messages kept on the disk while the telemetry store is away, at most; 0: the broker keeps them."""
    quarantine_max_rows: int = Field(default=100_000, ge=100, le=100_000_000)
    quarantine_max_days: float = Field(default=90.0, gt=0, le=20_000)
    unknown_per_minute: int = Field(default=600, ge=0, le=1_000_000)
    """Messages of unknown assets or topics kept in quarantine in a minute; what is more is counted, not kept."""


class Daily(Strict):
    """When an operating day counts as closed, and how much data it must have."""

    lateness_minutes: int = Field(default=60, ge=0, le=10_080)
    """A day is scored this long after its local midnight; what comes later scores it again, as a revision."""
    poor_link_lateness_minutes: int = Field(default=360, ge=0, le=10_080)
    """The same for sites of poor connectivity."""
    sweep_minutes: float = Field(default=5.0, gt=0, le=1440)
    min_completeness: float = Field(default=0.5, ge=0, le=1)
    """Share of a day's expected samples below which models neither learn from it nor raise on it."""
    processes: int = Field(default=1, ge=1, le=64)
    """In how many further processes groups of assets are scored side by side; with 1, in the program's own."""
    cluster: ClusterAddress | None = None
    """Scheduler of a Dask cluster that scores them instead, ``processes`` groups and one more at a time."""


class Models(Strict):
    """The anomaly models: one ensemble for each asset type."""

    enabled: bool = True
    min_training_days: int = Field(default=21, ge=2, le=3650)
    false_tickets_per_100_asset_days: float = Field(default=0.5, gt=0, le=100)
    """The budget that sets the thresholds: tickets without a fault that one is ready to look at."""
    refit_days: int = Field(default=90, ge=0, le=3650)
    """Days after which a candidate is fitted on all that is known by then; 0: never."""
    shadow_days: int = Field(default=14, ge=1, le=365)
    """Days that a candidate scores beside the active model before it may take its place."""
    persistence: Annotated[str, AfterValidator(_persistence)] = "2 of 3"
    """Anomalous days, of how many in a row, before a model speaks."""
    horizon_days: int = Field(default=7, ge=1, le=90)
    """How far ahead the failure model looks, where enough failures are known to learn from."""
    min_probability: float = Field(default=0.5, gt=0, lt=1)
    """Probability of a failure within the horizon below which it raises nothing."""
    learn: tuple[Literal["failure", "casebase"], ...] = ("failure", "casebase")
    """What is learned from failures. The failure model raises where it knows a mode, else the case base; it ranks."""
    detectors: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")], ...] = Field(
        default=("robust_z", "pca", "isolation_forest", "peers"), min_length=1, max_length=16
    )
    """Files of ``models/detectors/`` by name."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    ticket: Literal["auto", "review"] = "review"
    """Whether an alert that only a model raises becomes a ticket by itself, or after somebody looked at it."""
    severity: Severity = "major"
    act_within: Duration = timedelta(hours=72)


class Rules(Strict):
    """The gate in front of rules that open tickets by themselves."""

    min_precision: float | None = Field(default=None, gt=0, le=1)
    """Share of right tickets on a history that ``ticket: auto`` asks for; without it every rule may."""
    approval_key_env: SecretName = "FLEETDX_APPROVAL_KEY"
    """Key under which approvals are sealed."""


class Tickets(Strict):
    """The ticket system."""

    connector: str = Field(default="none", pattern=r"^[a-z][a-z0-9_]{0,47}$")
    """A file of ``alerts/connectors/`` by name, or ``none``: alerts then stay in the console."""
    url: TicketAddress | None = None
    queue: str | None = Field(default=None, min_length=1, max_length=200)
    """Where tickets are filed, for systems with several such places."""
    kind: str | None = Field(default=None, min_length=1, max_length=80)
    """What is filed: jira's issue type, servicenow's table."""
    sender: str | None = Field(default=None, min_length=3, max_length=254)
    """Mailbox from which smtp sends."""
    user: str | None = Field(default=None, min_length=1, max_length=200)
    password_env: SecretName | None = None
    secret_env: SecretName | None = None
    """Key under which a webhook's requests are signed."""
    timeout_s: float = Field(default=10.0, ge=1, le=30)
    """Wait for one answer. A delivery asks up to eight times, within the five minutes for which a ticket is leased."""
    poll_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """How often the ticket system is asked what became of open tickets."""
    retry_seconds: float = Field(default=30.0, ge=0.1, le=86_400)
    """Wait before the first retry of a failed delivery; it doubles with each, up to an hour."""
    closed: tuple[StatusName, ...] = Field(default=("resolved", "closed", "done", "done-cbb", "deleted"), max_length=50)
    """Statuses that mean that nothing is left to do, for systems that do not say so themselves."""
    wont_fix: tuple[StatusName, ...] = Field(
        default=("rejected", "declined", "won't fix", "won't do", "wont-fix", "wontfix"), max_length=50
    )
    """Statuses or resolutions that mean that people decided to live with it."""
    reopen_within: Duration = timedelta(days=7)
    """A failure that is back within this time after its alert ended goes on in the ticket that there is."""
    wont_fix_lasts: Duration = timedelta(days=90)
    """How long no new ticket is opened for what people will not fix, from when that was seen."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.connector != "none" and self.url is None:
            raise Mistakes([(("connector",), f"{self.connector!r} needs a url")])
        return self


Verdict = Literal["confirmed", "false_alarm", "no_trouble_found"]
"""What the workshop found of what an alert said."""

TRACKER_FIELDS = (
    "verdict", "cause", "root_cause", "failure_mode", "action", "parts", "downtime_hours", "cost", "currency",
    "whole_group",
)  # fmt: skip
"""Fields of an outcome that a ticket system may hold."""


class Outcomes(Strict):
    """What the workshop found: how it comes in, and what follows from it."""

    secret_env: SecretName | None = None
    """Key under which requests to ``/api/outcomes/`` are signed; without one nobody may send any."""
    window_s: float = Field(default=300.0, ge=1, le=3600)
    """How far the clock of a signed request may be off; within it a signature is taken once."""
    max_body_bytes: int = Field(default=65_536, ge=1_000, le=1_000_000)
    poll: bool = True
    """Whether the ticket system is asked, every ``tickets.poll_seconds``, where its connector can tell."""
    fields: Mapping[str, Annotated[str, Field(min_length=1, max_length=120)]] = Field(default={}, max_length=20)
    """What the ticket system calls the fields of an outcome, where that is another name; ``status`` is one too."""
    verdicts: Mapping[Annotated[str, Field(min_length=1, max_length=120)], Verdict] = Field(
        default={
            "confirmed": "confirmed", "fixed": "confirmed", "repaired": "confirmed",
            "false alarm": "false_alarm", "invalid": "false_alarm",
            "no trouble found": "no_trouble_found", "no fault found": "no_trouble_found", "ntf": "no_trouble_found",
        },
        max_length=100,
    )  # fmt: skip
    """What its verdicts mean, without regard to case, with blanks for underscores."""
    repeat_days: int = Field(default=30, ge=0, le=730)
    """A failure mode that is back on an asset within this many days of an outcome is a repeat offender; 0: never."""
    min_judged: int = Field(default=5, ge=1, le=10_000)
    """Outcomes below which no rule or model version is put on probation."""
    min_precision: float = Field(default=0.5, ge=0, le=1)
    """The bar: the share of confirmed among judged alerts that a version has to be able to reach."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1)
    """How sure it must be (one-sided, Wilson) that a version is below the bar before it goes on probation."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.fields:
            if name not in TRACKER_FIELDS:
                raise Mistakes([(("fields", name), f"is no field of an outcome: {', '.join(TRACKER_FIELDS)}")])
        return self


class Alerts(Strict):
    """How alerts are grouped and kept from flooding, and what people may do with them."""

    group_scope: Literal["site", "fleet"] = "site"
    """Whether one cause is looked for among the assets of one type at a site, or of one type everywhere."""
    group_from: int = Field(default=5, ge=2, le=1000)
    """Assets of one type that show one failure mode within ``group_window``, from which on they are one group."""
    group_window: Duration = timedelta(hours=24)
    group_wait: Duration = timedelta(minutes=2)
    """How long a group's ticket waits for further members before it is sent; who comes later is in the next one."""
    tickets_per_hour: int = Field(default=20, ge=1, le=10_000)
    """Tickets of one site sent in an hour; what is more is put together into one ticket. Nothing is left out."""
    longest_shelf_days: int = Field(default=30, ge=1, le=366)
    recurrence_days: int = Field(default=90, ge=1, le=3660)
    """How far back is counted how often an alert came back."""


class Support(Strict):
    """Who reacts to alerts, and when, at sites that say nothing of their own (see ``sites.yaml``)."""

    tiers: Tiers = ()
    """In order: ``{name, addresses, minutes}``; an alert climbs to the next after that many working minutes."""
    working_hours: WorkingHours = WorkingHours()
    factory: tuple[Email, ...] = Field(default=(), max_length=50)
    """Who is told of cases that technical support passes on to the factory."""


class Notify(Strict):
    """Mail to the people of the support tiers."""

    host: Host | None = None
    """The mail server (SMTP); without one nobody is written to."""
    port: Port = 25
    security: Literal["none", "starttls", "tls"] = "none"
    sender: Email = "fleetdx@localhost"
    username: str | None = Field(default=None, min_length=1, max_length=200)
    password_env: SecretName | None = None
    timeout_s: float = Field(default=10.0, ge=1, le=300)
    every: Duration = timedelta(minutes=10)
    """Each person is written to at most once in this time, with all that there is to tell."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.password_env is not None and self.username is None:
            raise Mistakes([(("password_env",), "needs a username")])
        return self


class Console(Strict):
    """The web pages."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    base_url: Address | None = None
    """Address under which people reach the console; links in tickets begin with it."""
    metrics: Literal["login", "open"] = "login"
    """Who may read ``/metrics``: whoever is logged in, or everybody who reaches the port."""


class Settings(Strict):
    """All settings, by section. ``Settings()`` is a complete installation on one machine."""

    mqtt: Mqtt = Mqtt()
    store: Store = Store()
    ingest: Ingest = Ingest()
    daily: Daily = Daily()
    models: Models = Models()
    rules: Rules = Rules()
    tickets: Tickets = Tickets()
    outcomes: Outcomes = Outcomes()
    alerts: Alerts = Alerts()
    support: Support = Support()
    notify: Notify = Notify()
    console: Console = Console()
