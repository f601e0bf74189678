"""The benchmark of ingest measures what it says: a short run on a real broker, every sample stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import missing

from benchmarks.ingest import SIGNALS, body, soak
from fleetdx.servers import mosquitto
from ingest.decoders.json import JsonDecoder

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("samples", [1, 20])
def test_the_load_is_right_throughout_and_no_instant_comes_twice(samples: int) -> None:
    seen = set()
    for number in range(1000):
        topic, payload = body(number, samples, 1_790_000_000_000)
        decoded = JsonDecoder().decode("telemetry", payload)
        assert not decoded.rejects
        assert [set(sample.values) for sample in decoded.samples] == [set(SIGNALS)] * samples
        seen.update((topic, sample.time) for sample in decoded.samples)
    assert len(seen) == 1000 * samples


@pytest.mark.slow
def test_a_short_run_ends_with_one_json_object_of_plausible_figures() -> None:
    if mosquitto.executable() is None:
        missing("mosquitto", "apt install mosquitto")
    command = [sys.executable, "-m", "benchmarks.ingest", "--runs", "1", "--share", "0.02", "--shapes", "1"]
    done = subprocess.run(
        [*command, "--takers", "duckdb"], cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    figures = json.loads(done.stdout.splitlines()[-1])["median"]["duckdb"]["1"]
    assert 2 < figures["cpu_us"] < 5_000
    assert figures["points_s"] == pytest.approx(5 * figures["messages_s"], rel=0.01)
    assert figures["broker_us"] > 0


@pytest.mark.faults
@pytest.mark.parametrize("client", ["paho", "mqtt5"])
def test_memory_stays_flat_under_a_steady_load(client: str) -> None:
    """A minute of what ``make bench-ingest ARGS="--soak 10"`` does in ten: two thousand messages a second."""
    if mosquitto.executable() is None:
        missing("mosquitto", "apt install mosquitto")
    found = soak(1.0, 2000, None, client)
    print(f"\n{found}")
    early, late = found["memory_mb_early"], found["memory_mb_late"]
    assert found["stored"] == found["sent"]
    assert found["lost"] == 0
    assert isinstance(early, float)
    assert isinstance(late, float)
    assert late < 1.1 * early + 10
