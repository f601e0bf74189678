"""What is counted, in Prometheus' text format 0.0.4, for machines that watch.

Labels are bounded: reasons are words of our own code, and of assets the register's first ``MAX_ASSETS`` have series of
their own. Nothing that a gateway sent becomes a label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.contrib.auth.decorators import login_not_required
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.http import require_GET

from alerts.models import Alert, Outcome, Ticket
from alerts.outcomes.inbound import refusals
from alerts.outcomes.probation import on_probation
from alerts.support.letters import letter_counts
from config.operating_day import NS
from config.register import Register
from console.context import provided
from ingest.accounting import Accounting
from ingest.counters import AssetStatus

MAX_ASSETS = 1_000
"""Assets, by id, that have series of their own."""
MAX_REASONS = 100
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Family(NamedTuple):
    """One metric with its series: labels to value."""

    name: str
    kind: str
    help: str
    series: Iterable[tuple[Mapping[str, str], float]]


@login_not_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Answer with all metrics: to everybody where the settings say ``open``, else 403 to who is not logged in."""
    here = provided()
    if here.installation.settings.console.metrics != "open" and not request.user.is_authenticated:
        return HttpResponseForbidden("log in, or set console.metrics: open\n", content_type="text/plain")
    families = [*_tables(), *_letters(here.installation.settings.notify.every, datetime.now(UTC))]
    if here.accounting is not None:
        families += _ingest(here.accounting, here.installation.register)
    return HttpResponse("".join(map(written, families)), content_type=CONTENT_TYPE)


def written(family: Family) -> str:
    """Return a metric as Prometheus reads it."""
    lines = [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
    for labels, value in family.series:
        inside = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
        lines.append(f"{family.name}{'{' + inside + '}' if inside else ''} {_number(value)}")
    return "\n".join(lines) + "\n"


def _tables() -> Iterator[Family]:
    alerts = Alert.objects.exclude(state=Alert.State.CLOSED).values_list("state", "severity").annotate(n=Count("pk"))
    yield Family(
        "fleetdx_alerts_open", "gauge", "Open alerts by state and severity.",
        [({"state": state, "severity": severity}, n) for state, severity, n in alerts.order_by("state", "severity")],
    )  # fmt: skip
    found = Outcome.objects.filter(superseded_at=None).values_list("verdict", "source").annotate(n=Count("pk"))
    yield Family(
        "fleetdx_outcomes", "gauge", "What was found of alerts, by verdict and by how it came in.",
        [({"verdict": verdict, "source": source}, n) for verdict, source, n in found.order_by("verdict", "source")],
    )  # fmt: skip
    yield Family(
        "fleetdx_outcomes_refused_total", "counter", "Outcomes refused, by reason.",
        [({"reason": reason}, n) for reason, n in refusals().items()],
    )  # fmt: skip
    probations = on_probation().count()
    yield _one("fleetdx_probations", "gauge", "Versions of rules and models on probation.", probations)
    tickets = dict(Ticket.objects.values_list("status").annotate(n=Count("pk")))
    yield Family(
        "fleetdx_tickets", "gauge", "Tickets by what became of their delivery.",
        [({"status": status.value}, tickets.get(status.value, 0)) for status in Ticket.Status],
    )  # fmt: skip


def _letters(every: timedelta, now: datetime) -> Iterator[Family]:
    counts = letter_counts(every, now)
    yield _one("fleetdx_letters_sent_total", "counter", "Letters to support that the mail server took.", counts.sent)
    yield _one(
        "fleetdx_letters_failed_total", "counter", "Attempts to send a letter that the mail server did not take.",
        counts.failed,
    )  # fmt: skip
    yield Family(
        "fleetdx_notices", "gauge", "What there is to tell people of support, by what became of it.",
        [({"state": state}, getattr(counts, state)) for state in ("told", "waiting", "held_back", "refused")],
    )  # fmt: skip


def _ingest(accounting: Accounting, register: Register) -> Iterator[Family]:
    counters, states = accounting.counters(), {state.asset_id: state for state in accounting.status()}
    yield _one("fleetdx_messages_total", "counter", "Messages of any kind that were taken in.", counters.messages)
    yield _one("fleetdx_samples_stored_total", "counter", "Samples stored for the first time.", counters.stored)
    yield _one("fleetdx_samples_duplicate_total", "counter", "Samples that had come before.", counters.duplicates)
    # These two fall when what was refused is replayed, or what was missing comes late.
    yield _one("fleetdx_samples_refused", "gauge", "Samples refused and not replayed since.", counters.quarantined)
    yield _one("fleetdx_messages_lost", "gauge", "Numbered messages that never came.", counters.lost)
    reasons = Counter(counters.reasons)
    most = dict(reasons.most_common(MAX_REASONS))
    yield Family(
        "fleetdx_refusals_total", "counter", "Refusals of samples and values by reason.",
        [({"reason": reason}, n) for reason, n in sorted(most.items())],
    )  # fmt: skip
    waiting = accounting.count_quarantined()
    yield _one("fleetdx_quarantine_messages", "gauge", "Messages in quarantine.", waiting)
    yield _one(
        "fleetdx_quarantine_dropped_total", "counter", "Messages that quarantine keeps no longer, or never did.",
        counters.quarantine_dropped,
    )  # fmt: skip
    yield _one("fleetdx_samples_late_total", "counter", "Samples that came late, and were stored.", counters.late)
    yield _one("fleetdx_messages_ahead_total", "counter", "Messages from a clock ahead of ours.", counters.ahead)
    intake = accounting.intake()
    if intake is not None:
        yield _one("fleetdx_intake_up", "gauge", "1 while nothing keeps data from coming in.", int(not intake.problem))
        yield _one(
            "fleetdx_intake_seen_timestamp_seconds", "gauge", "When the intake last gave a sign.", intake.at / NS
        )
        yield _one("fleetdx_spool_messages", "gauge", "Messages that wait on disk for the store.", intake.waiting)
        yield _one("fleetdx_spool_bytes", "gauge", "What waits, in bytes.", intake.waiting_bytes)
        yield _one("fleetdx_spool_max_bytes", "gauge", "What may wait, in bytes.", intake.waiting_most)
    links = Counter(_link(states.get(asset_id)) for asset_id in register.assets)
    yield Family(
        "fleetdx_assets", "gauge", "Assets of the register by the state of their link.",
        [({"link": link}, links[link]) for link in ("online", "offline", "unsaid", "never_heard")],
    )  # fmt: skip
    shown = sorted(register.assets)[:MAX_ASSETS]
    known = [(asset_id, states[asset_id]) for asset_id in shown if asset_id in states]
    yield Family(
        "fleetdx_asset_heard_timestamp_seconds", "gauge", "When an asset last sent anything.",
        [({"asset": asset_id}, state.heard / NS) for asset_id, state in known if state.heard is not None],
    )  # fmt: skip
    yield Family(
        "fleetdx_asset_messages_lost", "gauge", "Numbered messages of an asset that never came.",
        [({"asset": asset_id}, state.lost) for asset_id, state in known if state.lost],
    )  # fmt: skip
    yield Family(
        "fleetdx_asset_data_timestamp_seconds", "gauge", "When samples of an asset last came.",
        [({"asset": asset_id}, state.data_at / NS) for asset_id, state in known if state.data_at is not None],
    )  # fmt: skip
    yield Family(
        "fleetdx_asset_clock_ahead_seconds", "gauge", "Time of the newest sample less that at which it came.",
        [({"asset": asset_id}, state.clock / NS) for asset_id, state in known if state.clock is not None],
    )  # fmt: skip
    yield Family(
        "fleetdx_asset_samples_late_total", "counter", "Samples of an asset that came late.",
        [({"asset": asset_id}, state.late) for asset_id, state in known if state.late],
    )  # fmt: skip
    unshown = len(register.assets) - len(shown)
    yield _one("fleetdx_assets_without_series", "gauge", "Assets too many to have series of their own.", unshown)


def _one(name: str, kind: str, text: str, value: float) -> Family:
    return Family(name, kind, text, [({}, value)])


def _link(state: AssetStatus | None) -> str:
    if state is None or state.heard is None:
        return "never_heard"
    return {True: "online", False: "offline", None: "unsaid"}[state.online]


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"
