"""``/metrics``: Prometheus reads it, strangers do not unless they may, and no gateway can make it grow."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from console_pages import CAR, Console, with_register

from config.installation import Installation
from config.register import Asset
from console.context import provide
from console.views.metrics import CONTENT_TYPE, MAX_ASSETS, Family, written
from ingest.accounting import Accounting
from ingest.pipeline import Message, Pipeline

LINE = re.compile(r'([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? (-?[0-9.]+)')


@pytest.fixture
def accounting(tmp_path: Path) -> Iterator[Accounting]:
    account = Accounting(tmp_path / "ingest.sqlite3")
    account.open()
    yield account
    account.close()


def opened(installation: Installation, who: str = "open") -> Installation:
    chosen = installation.settings.console.model_copy(update={"metrics": who})
    return replace(installation, settings=installation.settings.model_copy(update={"console": chosen}))


def metrics(console: Console, user: str | None = None) -> dict[str, float]:
    response = console.client(user=user).get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == CONTENT_TYPE
    found: dict[str, float] = {}
    typed: set[str] = set()
    for line in response.content.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert (kind == "counter") == name.endswith("_total")
            assert name not in typed
            typed.add(name)
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match is not None, line
            assert match[1] in typed
            key = match[1] + (match[2] or "")
            assert key not in found
            found[key] = float(match[3])
    return found


def take(console: Console, accounting: Accounting, *messages: tuple[str, object]) -> None:
    settings = console.installation.settings
    pipeline = Pipeline(
        console.store, accounting, console.installation.register, settings=settings.ingest, clock=time.time_ns
    )
    pipeline.take([Message(f"fleet/{topic}", json.dumps(body).encode()) for topic, body in messages])


def test_what_was_counted_is_told(console: Console, alert: int, accounting: Accounting) -> None:
    provide(opened(console.installation), console.store, accounting)
    signal = console.installation.register.type_of(CAR).signals[0]
    now = time.time_ns() // 1_000_000 - 1000
    good = {"ts": now, "signals": {signal.name: max(signal.low, 0.0)}}
    take(
        console, accounting,
        (f"{CAR}/telemetry", good | {"seq": 0}), (f"{CAR}/telemetry", good | {"seq": 0}),
        (f"{CAR}/telemetry", good | {"seq": 4}), (f"{CAR}/faults", {"ts": now, "code": "Z1"}),
        (f"{CAR}/status", {"online": True}), ("stranger/telemetry", good),
    )  # fmt: skip
    found = metrics(console)
    assert found["fleetdx_messages_total"] == 6
    assert found["fleetdx_samples_stored_total"] == 2
    assert found["fleetdx_samples_duplicate_total"] == 1
    assert found["fleetdx_samples_refused"] == 2
    assert found["fleetdx_messages_lost"] == 3
    assert found['fleetdx_refusals_total{reason="unknown-code"}'] == 1
    assert found['fleetdx_refusals_total{reason="unknown-asset"}'] == 1
    assert found["fleetdx_quarantine_messages"] == 2
    assert found['fleetdx_assets{link="online"}'] == 1
    assert found['fleetdx_assets{link="never_heard"}'] == len(console.installation.register.assets) - 1
    assert found[f'fleetdx_asset_messages_lost{{asset="{CAR}"}}'] == 3
    assert abs(found[f'fleetdx_asset_heard_timestamp_seconds{{asset="{CAR}"}}'] - time.time()) < 60
    assert found['fleetdx_tickets{status="pending"}'] + found['fleetdx_tickets{status="dead"}'] >= 0
    assert [n for name, n in found.items() if name.startswith("fleetdx_alerts_open{")] == [1]
    assert not any("stranger" in name or "Z1" in name for name in found)


def test_only_who_may_reads_it(console: Console, accounting: Accounting) -> None:
    assert console.installation.settings.console.metrics == "login"
    provide(console.installation, console.store, accounting)
    assert console.client(user=None).get("/metrics").status_code == 403
    assert metrics(console, "anna")["fleetdx_messages_total"] == 0
    provide(opened(console.installation), console.store, accounting)
    assert metrics(console)["fleetdx_messages_total"] == 0
    assert console.client(user=None).post("/metrics").status_code == 405
    assert console.client(user=None).get("/").status_code == 302


def test_a_large_fleet_and_many_strangers_do_not_make_it_grow(console: Console, accounting: Accounting) -> None:
    [one] = [asset for asset in console.installation.register.assets.values() if asset.id == CAR]
    many: list[Asset] = [one.model_copy(update={"id": f"A-{n:05}"}) for n in range(MAX_ASSETS + 500)]
    installation = with_register(opened(console.installation), tuple(many))
    console.use(installation)
    take(console, accounting, *((f"A-{n:05}/status", {"online": n % 2 == 0}) for n in range(MAX_ASSETS + 500)))
    take(console, accounting, *((f"stranger-{n}/telemetry", {}) for n in range(300)))
    provide(installation, console.store, accounting)
    found = metrics(console)
    assert found["fleetdx_assets_without_series"] == 500
    assert found['fleetdx_assets{link="online"}'] == (MAX_ASSETS + 500) / 2
    assert len(found) < MAX_ASSETS + 50


def test_labels_are_escaped() -> None:
    family = Family("x", "gauge", "y", [({"a": 'b"\\\n'}, 1)])
    assert written(family) == '# HELP x y\n# TYPE x gauge\nx{a="b\\"\\\\\\n"} 1\n'


def test_letters_and_what_waits_for_one_are_counted(console: Console) -> None:
    from alerts.connectors.connector import Permanent, Retryable
    from alerts.models import Alert, Notice
    from alerts.support.letters import send_letters
    from alerts.support.notification import notice

    class Post:
        def send(self, letter: EmailMessage) -> None:
            if letter["To"].startswith("gone"):
                raise Permanent("550 no such person")
            if letter["To"].startswith("busy"):
                raise Retryable("451 later")

    alert = Alert.objects.get(pk=console.raise_alert())
    console.use(opened(console.installation))
    none = metrics(console)
    assert (none["fleetdx_letters_sent_total"], none['fleetdx_notices{state="waiting"}']) == (0, 0)
    now = datetime.now(UTC) - timedelta(minutes=5)
    notice(alert, Notice.Reason.NEW, ("li@example.org", "gone@example.org", "busy@example.org"), now)
    assert metrics(console)['fleetdx_notices{state="waiting"}'] == 3
    assert send_letters(Post(), console.installation, now) == 1
    notice(alert, Notice.Reason.ESCALATED, ("li@example.org", "new@example.org"), now)
    assert send_letters(Post(), console.installation, now) == 1  # the one to Li waits for the limit
    found = metrics(console)
    assert (found["fleetdx_letters_sent_total"], found["fleetdx_letters_failed_total"]) == (2, 2)
    states = {
        state: found[f'fleetdx_notices{{state="{state}"}}'] for state in ("told", "waiting", "held_back", "refused")
    }
    assert states == {"told": 2, "waiting": 0, "held_back": 2, "refused": 1}
    later = now + timedelta(minutes=11)
    assert send_letters(Post(), console.installation, later) == 1
    assert metrics(console)['fleetdx_notices{state="told"}'] == 3
