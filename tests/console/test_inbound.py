"""Outcomes by signed request: what is genuine is taken once, and whatever else comes is refused, counted, and changes
nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from console_pages import CAR, Console
from diagnoses import DAY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.connectors.webhook import signature

KEY = f"{CAR}/AIR-LEAK/1"
SECRET = "a key that both sides know"
FOUND = f"{DAY + timedelta(days=1)}T10:00:00+02:00"
GOOD: dict[str, Any] = {"ticket": KEY, "verdict": "confirmed", "at": FOUND, "cause": "hose", "action": "hose replaced"}

Send = Callable[..., Any]


@pytest.fixture
def send(console: Console, alert: int, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Send a body as a ticket system does; ``header`` replaces the genuine signature."""
    monkeypatch.setenv("OUTCOMES_KEY", SECRET)
    chosen = console.installation.settings.outcomes.model_copy(update={"secret_env": "OUTCOMES_KEY"})
    whole = console.installation.settings.model_copy(update={"outcomes": chosen})
    console.use(replace(console.installation, settings=whole))
    client = console.client(user=None, csrf=True)

    def post(body: object, *, header: str | None = None, at: float | None = None, secret: str = SECRET) -> Any:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = header if header is not None else signature(secret, int(at or time.time()), payload)
        headers = {"X-Fleetdx-Signature": signed} if signed else {}
        return client.post("/api/outcomes/", payload, content_type="application/json", headers=headers)

    return post


def state() -> list[Any]:
    """All that an outcome could change."""
    from alerts.models import Alert, AlertDay, FieldRecord, Outcome, Probation, SeenSignature, Ticket

    tables = (Alert, AlertDay, FieldRecord, Outcome, Probation, SeenSignature, Ticket)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def refused() -> dict[str, int]:
    from alerts.outcomes.inbound import refusals

    return refusals()


def test_a_genuine_one_is_taken_and_carried_on(send: Send, alert: int) -> None:
    from alerts.models import Alert, Outcome

    answer = send(GOOD)
    assert (answer.status_code, answer.json()) == (200, {"ticket": KEY, "new": True})
    outcome = Outcome.objects.get()
    assert (outcome.alert_id, outcome.verdict, outcome.source, outcome.cause) == (alert, "confirmed", "webhook", "hose")
    assert Alert.objects.get(pk=alert).state == "closed"
    assert send(GOOD, at=time.time() + 60).json() == {"ticket": KEY, "new": False}
    assert refused() == {}


def test_the_same_request_again_is_refused_also_in_another_order_of_events(send: Send) -> None:
    now = time.time()
    assert send(GOOD, at=now).status_code == 200
    corrected = send(GOOD | {"verdict": "false_alarm"}, at=now + 1)
    assert corrected.json()["new"] is True
    before = state()
    again = send(GOOD, at=now)
    assert (again.status_code, again.json()["reason"]) == (409, "replayed")
    assert state() == before
    assert refused() == {"replayed": 1}


@pytest.mark.parametrize(
    ("reason", "status", "options"),
    [
        ("unsigned", 401, {"header": ""}),
        ("wrong-signature", 401, {"header": "t=1,v1=abc"}),
        ("wrong-signature", 401, {"header": "t=99999999999999999999,v1=" + "0" * 64}),
        ("wrong-signature", 401, {"header": "t=١,v1=" + "0" * 64}),
        ("wrong-signature", 401, {"secret": "another key"}),
        ("stale", 401, {"at": time.time() - 3600}),
        ("stale", 401, {"at": time.time() + 3600}),
    ],
)
def test_what_is_not_genuine_is_refused_and_counted(
    send: Send, reason: str, status: int, options: dict[str, Any]
) -> None:
    before = state()
    answer = send(GOOD, **options)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert state() == before
    assert refused() == {reason: 1}


@pytest.mark.parametrize(
    ("reason", "status", "field", "body"),
    [
        ("unknown-ticket", 404, "ticket", GOOD | {"ticket": "EMU-99-Z/AIR-LEAK/1"}),
        ("unknown-ticket", 404, "ticket", GOOD | {"ticket": ""}),
        ("malformed", 400, "", b"no json"),
        ("malformed", 400, "", b""),
        ("malformed", 400, "verdict", GOOD | {"verdict": "fixed?"}),
        ("malformed", 400, "at", GOOD | {"at": "2099-01-01T00:00:00Z"}),
        ("malformed", 400, "parts[0]", GOOD | {"parts": ["part:NO-SUCH"]}),
        ("malformed", 400, "colour", GOOD | {"colour": "red"}),
        ("too-large", 413, "", GOOD | {"cause": "x" * 70_000}),
    ],
)
def test_what_is_genuine_and_wrong_is_told_its_field(
    send: Send, reason: str, status: int, field: str, body: object
) -> None:
    before = state()
    answer = send(body)
    assert (answer.status_code, answer.json()["reason"], answer.json()["field"]) == (status, reason, field)
    assert state() == before
    assert refused() == {reason: 1}


def test_where_no_key_is_set_nobody_may_send(console: Console, alert: int) -> None:
    answer = console.client(user=None).post("/api/outcomes/", b"{}", content_type="application/json")
    assert (answer.status_code, answer.json()["reason"]) == (404, "not-configured")
    assert console.client(user=None).get("/api/outcomes/").status_code == 405


def test_what_was_refused_stands_in_the_metrics_and_in_the_status(
    send: Send, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    send(GOOD, header="")
    send(GOOD, header="")
    send(GOOD | {"verdict": 3})
    send(GOOD)
    page = console.client().get("/metrics").content.decode()
    assert 'fleetdx_outcomes_refused_total{reason="unsigned"} 2\n' in page
    assert 'fleetdx_outcomes_refused_total{reason="malformed"} 1\n' in page
    assert 'fleetdx_outcomes{verdict="confirmed",source="webhook"} 1\n' in page
    from fleetdx.status import _refused_outcomes

    assert _refused_outcomes(console.data.root) == {"malformed": 1, "unsigned": 2}


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
_BODIES = (
    st.binary(max_size=300)
    | _JSON.map(lambda value: json.dumps(value).encode())
    | st.tuples(st.sampled_from([*GOOD, "parts", "cost", "currency", "downtime_hours", "root_cause", "by"]), _JSON).map(
        lambda change: json.dumps(GOOD | {change[0]: change[1]}).encode()
    )
    | st.tuples(st.integers(0, 120), st.binary(max_size=3)).map(
        lambda cut: json.dumps(GOOD).encode()[: cut[0]] + cut[1] + json.dumps(GOOD).encode()[cut[0] :]
    )
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=_BODIES)
def test_no_signed_body_is_an_error_of_ours_and_what_is_refused_changes_nothing(send: Send, body: bytes) -> None:
    before = state()
    answer = send(body)
    assert answer.status_code in (200, 400, 404, 409, 413), body
    if answer.status_code != 200:
        assert state() == before
        assert answer.json()["reason"] in ("malformed", "unknown-ticket", "replayed", "too-large")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=120))
def test_no_header_is_an_error_of_ours(send: Send, header: str) -> None:
    before = state()
    assert send(GOOD, header=header).status_code == 401
    assert state() == before


def _until_closed(server: Any) -> None:
    with suppress(OSError):  # its socket is closed under it: that is how it ends
        server.run()


def test_over_a_real_connection_sizes_are_honest_however_they_are_sent(send: Send, console: Console) -> None:
    from waitress import wasyncore
    from waitress.server import create_server

    from console.wsgi import application
    from fleetdx.run import LARGEST_REQUEST

    def post(payload: bytes, **how: Any) -> httpx.Response:
        headers = {"X-Fleetdx-Signature": signature(SECRET, int(time.time()), payload)}
        return httpx.post(f"{url}/api/outcomes/", headers=headers, timeout=60, **(how or {"content": payload}))

    sockets: dict[int, Any] = {}
    server = create_server(
        application, map=sockets, host="127.0.0.1", port=0, threads=2, max_request_body_size=LARGEST_REQUEST
    )
    thread = threading.Thread(target=_until_closed, args=(server,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.effective_port}"
    try:
        large = json.dumps(GOOD | {"cause": "x" * 70_000}).encode()
        assert post(large).json()["reason"] == "too-large"
        assert post(large, content=iter([large[:40_000], large[40_000:]])).json()["reason"] == "too-large"
        assert post(b" " * 2_100_000).status_code == 413
        whole = json.dumps(GOOD).encode()
        answer = post(whole, content=iter([whole[:20], whole[20:]]))
        assert (answer.status_code, answer.json()) == (200, {"ticket": KEY, "new": True})
    finally:
        server.close()
        server.task_dispatcher.shutdown()
        thread.join(timeout=5)
        wasyncore.close_all(sockets)  # what was accepted and not served to its end: it would fail some later test
