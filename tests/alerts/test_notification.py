"""Who is called when nobody acknowledges, and the letters that tell them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from diagnoses import DAY, diagnosis, outcome
from mail_sink import MailSink, running_mail_sink

from alerts.support.mail import MailServer
from config.installation import Installation, load
from config.settings import Support
from config.support import Tier
from fleetdx.data_folder import DataFolder

pytestmark = pytest.mark.usefixtures("tables")
ROOT = Path(__file__).parents[2]
MORNING = datetime(2026, 5, 5, 8, tzinfo=UTC)  # 10:00 of a Tuesday in Madrid
MINUTE = timedelta(minutes=1)


class Clock:
    now = MORNING

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sink(clock: Clock) -> Iterator[MailSink]:
    with running_mail_sink(clock) as running:
        yield running


@pytest.fixture
def installation(sink: MailSink) -> Installation:
    sample = load(ROOT / "config" / "rail")
    tiers = (
        Tier(name="Depot desk", addresses=("desk@example.org", "chief@example.org"), minutes=60),
        Tier(name="Technical support", addresses=("support@example.org",), minutes=120),
        Tier(name="Duty manager", addresses=("duty@example.org",), minutes=1),
    )
    settings = sample.settings.model_copy(update={"support": Support(tiers=tiers), "notify": sink.settings})
    return replace(sample, settings=settings)


def told(**given: Any) -> int:
    from alerts.ledger import DjangoLedger
    from alerts.models import Alert

    said = diagnosis(**given)
    DjangoLedger().record([outcome(said)])
    pk: int = Alert.objects.get(asset_id=said.asset_id, failure_mode=said.failure_mode).pk
    return pk


def attended(installation: Installation, now: datetime) -> int:
    from alerts.upkeep import attend

    return attend(installation, MailServer(installation.settings.notify), now)


def heard(sink: MailSink) -> list[str]:
    return sorted(address for _, address, _ in sink.letters)


def test_an_alert_climbs_through_the_tiers_in_working_time_and_each_is_written_to_once(
    installation: Installation, sink: MailSink, clock: Clock
) -> None:
    from alerts.models import Alert

    told()
    for minutes in range(0, 24 * 60, 10):
        clock.now = MORNING + minutes * MINUTE
        attended(installation, clock.now)
    at = {address: sent for sent, address, _ in sink.letters}
    assert heard(sink) == ["chief@example.org", "desk@example.org", "duty@example.org", "support@example.org"]
    assert at["desk@example.org"] == MORNING
    assert at["support@example.org"] == MORNING + 60 * MINUTE
    assert at["duty@example.org"] == MORNING + 180 * MINUTE
    alert = Alert.objects.get()
    assert (alert.tier, alert.tier_since) == (2, MORNING + 180 * MINUTE)


def test_who_acknowledges_ends_the_climb(installation: Installation, sink: MailSink) -> None:
    from alerts.lifecycle import review

    alert = told()
    attended(installation, MORNING)
    review.acknowledge(alert, None, MORNING + 59 * MINUTE)
    attended(installation, MORNING + 600 * MINUTE)
    assert heard(sink) == ["chief@example.org", "desk@example.org"]


def test_after_a_stop_the_deadlines_are_those_it_would_have_had(installation: Installation, sink: MailSink) -> None:
    from alerts.models import Alert

    told()
    attended(installation, MORNING)
    attended(installation, MORNING + timedelta(days=3))
    assert Alert.objects.get().tier_since == MORNING + 180 * MINUTE
    assert len(sink.letters) == 4


def test_what_is_explained_by_another_or_has_returned_calls_nobody(installation: Installation, sink: MailSink) -> None:
    from alerts.models import Alert

    told()
    Alert.objects.update(suppressed_by="explained by DOOR-DRIVE")
    attended(installation, MORNING)
    Alert.objects.update(suppressed_by="", state="returned")
    attended(installation, MORNING)
    assert sink.letters == []


def test_a_letter_says_what_it_is_in_the_language_and_time_of_the_site(
    installation: Installation, sink: MailSink
) -> None:
    told()
    told(asset_id="EMU-07-A", severity="critical")  # Shanghai
    attended(installation, MORNING)
    letter = next(letter for _, address, letter in sink.letters if address == "desk@example.org")
    text = letter.get_content()
    assert letter["Subject"] == "fleetdx: 2 alerts, critical"
    assert "[major] EMU-01-A: Air supply leak · act by 2026-05-07 02:00 (Europe/Madrid) · new" in text
    assert "[紧急] EMU-07-A: 供风系统泄漏 · 处理期限 2026-05-07 08:00 (Asia/Shanghai) · 新" in text


def test_nobody_is_written_to_twice_within_ten_minutes_and_what_waits_comes_in_one_letter(
    installation: Installation, sink: MailSink
) -> None:
    for n, mode in enumerate(("AIR-LEAK", "DOOR-DRIVE", "HVAC-COOL")):
        told(failure_mode=mode)
        attended(installation, MORNING + n * MINUTE)
    assert len(sink.letters) == 2
    attended(installation, MORNING + 9 * MINUTE)
    assert len(sink.letters) == 2
    attended(installation, MORNING + 11 * MINUTE)
    assert len(sink.letters) == 4
    text = sink.letters[-1][2].get_content()
    assert text.count("EMU-01-A") == 2


def test_what_a_busy_server_did_not_take_comes_with_the_next_letter(installation: Installation, sink: MailSink) -> None:
    from alerts.models import Mailbox, Notice

    told()
    sink.answers = ["451 busy", "451 busy"]
    assert attended(installation, MORNING) == 0
    assert set(Mailbox.objects.values_list("last_error", flat=True)) == {"451 busy"}
    assert attended(installation, MORNING + 5 * MINUTE) == 0
    assert attended(installation, MORNING + 11 * MINUTE) == 2
    assert not Notice.objects.filter(sent_at=None).exists()


def test_an_address_that_is_refused_is_not_tried_again_and_the_others_are_not_kept_waiting(
    installation: Installation, sink: MailSink
) -> None:
    from alerts.models import Notice

    told()
    sink.answers = ["550 no such person"]  # addresses are written to in their order
    assert attended(installation, MORNING) == 1
    assert heard(sink) == ["desk@example.org"]
    assert Notice.objects.get(address="chief@example.org").refused == "550 no such person"
    assert attended(installation, MORNING + 30 * MINUTE) == 0


def test_a_server_that_is_away_loses_nothing(installation: Installation, sink: MailSink) -> None:
    away = installation.settings.notify.model_copy(update={"port": 1})
    told()
    gone = replace(installation, settings=installation.settings.model_copy(update={"notify": away}))
    assert attended(gone, MORNING) == 0
    assert attended(installation, MORNING + 11 * MINUTE) == 2


WRITER = """
import sys, time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from fleetdx.data_folder import DataFolder
from fleetdx.wiring import connect_relational
folder, port, begin = Path(sys.argv[1]), int(sys.argv[2]), datetime.fromisoformat(sys.argv[3])
connect_relational(DataFolder(folder))
from alerts.upkeep import attend
from alerts.support.mail import MailServer
from config.installation import load
from config.settings import Notify, Support
from config.support import Tier
sample = load(Path("config/rail"))
notify = Notify(host="127.0.0.1", port=port)
support = Support(tiers=(Tier(name="Desk", addresses=("a@example.org", "b@example.org"), minutes=60),
                         Tier(name="Support", addresses=("c@example.org",))))
settings = sample.settings.model_copy(update={"notify": notify, "support": support})
installation = replace(sample, settings=settings)
from datetime import timedelta
for number, minute in enumerate((0, 0, 1, 59, 60, 61, 61)):
    # Both at once at each minute: time does not go on for one of them while the other is still sending.
    (folder / f"ready-{number}-{sys.argv[4]}").touch()
    while len(list(folder.glob(f"ready-{number}-*"))) < 2:
        time.sleep(0.001)
    attend(installation, MailServer(notify), begin + timedelta(minutes=minute))
"""


@pytest.mark.slow
def test_two_processes_call_and_write_once(sink: MailSink, tables: DataFolder) -> None:
    for n in range(9):  # the cars of Madrid
        told(asset_id=f"EMU-{n // 3 + 1:02}-{'ABC'[n % 3]}", day=DAY)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tables.root), str(sink.port), MORNING.isoformat(), str(number)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert [(writer.communicate(timeout=300)[1], writer.returncode) for writer in writers] == [("", 0)] * 2
    from alerts.models import Notice

    assert heard(sink) == ["a@example.org", "b@example.org", "c@example.org"]
    assert Notice.objects.count() == Notice.objects.exclude(sent_at=None).count() == 27
