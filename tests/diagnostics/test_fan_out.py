"""Several processes find what one finds, and one that is killed loses nothing and doubles nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest
from memory_ledger import MemoryLedger
from servers import missing
from small_fleet import BERLINERS, Fleet, closed, days

from diagnostics.fan_out import OtherProcesses, Scored, ScoringLost, Workers, local_processes
from diagnostics.records import AssetDay, DayOutcome
from diagnostics.scoring import ToScore

if TYPE_CHECKING:
    from distributed import LocalCluster

pytestmark = pytest.mark.slow
NewFleet = Callable[..., tuple[Fleet, MemoryLedger]]
DAY, DAYS = date(2026, 5, 4), 14
LAST = DAY + timedelta(days=DAYS - 1)
EVERYWHERE = (*BERLINERS, "M-1", "M-2", "S-1", "S-2")


@pytest.fixture(scope="module")
def two_processes() -> Iterator[OtherProcesses]:
    workers = local_processes(2)
    yield workers
    workers.close()


def arrive(fleet: Fleet) -> None:
    """Two weeks of three sites; one pump grows hot, one is repaired, one sends little."""
    for number, day in enumerate(days(DAY, DAYS)):
        for asset_id in EVERYWHERE:
            hours = range(5) if asset_id == "S-2" and number == 12 else None
            hot = 15.0 * (number - 10) if asset_id == "B-2" and number > 10 else 0.0
            fleet.arrive(asset_id, day, hours=hours, temp=50.0 + hot, faults={"P1": [3, 4]} if hot else None)
    fleet.ledger.repairs.append(("B-3", 1_778_846_400 * 10**9, "maintenance"))  # type: ignore[attr-defined]


def scored(new_fleet: NewFleet, workers: Workers | None) -> tuple[Fleet, MemoryLedger]:
    fleet, ledger = new_fleet(min_training_days=10, detectors=("robust_z", "pca"))
    fleet.restart(workers)
    arrive(fleet)
    fleet.sweep.do(fleet.sweep.due(closed(LAST, lateness_minutes=900)), days_at_once=3)
    return fleet, ledger


def told(ledger: MemoryLedger) -> list[str]:
    """All that was found, as text, where unknown numbers are equal; but for what is random in a model's name."""
    outcomes: dict[AssetDay, DayOutcome] = ledger.outcomes
    return [re.sub(r"(\dT\d{6})-[0-9a-f]{8}", r"\1", repr(outcomes[key])) for key in sorted(outcomes)]


def pids(workers: OtherProcesses) -> list[int]:
    pool = workers._executor
    assert isinstance(pool, ProcessPoolExecutor)
    return list(pool._processes)


def test_two_processes_find_what_one_finds(new_fleet: NewFleet, two_processes: OtherProcesses) -> None:
    _, alone = scored(new_fleet, None)
    _, together = scored(new_fleet, two_processes)
    assert len(alone.outcomes) == len(EVERYWHERE) * DAYS
    assert told(together) == told(alone)
    assert [len(group) for group in together.recorded] == [len(group) for group in alone.recorded]
    assert any(d.condition for outcome in alone.outcomes.values() for d in outcome.diagnoses)
    assert sum(bool(s.contributions) for outcome in alone.outcomes.values() for s in outcome.scores) > 3
    assert len(pids(two_processes)) == 2
    assert os.getpid() not in pids(two_processes)


class Killed:
    """Workers whose processes are killed while the third and the sixth group are being scored."""

    def __init__(self, workers: OtherProcesses) -> None:
        self._workers, self._begun = workers, 0
        self.ahead = workers.ahead
        self.dead: list[int] = []

    def begin(self, task: ToScore) -> Callable[[], Scored]:
        self._begun += 1
        if self._begun not in (3, 6):
            return self._workers.begin(task)
        doomed = pids(self._workers)
        for pid in doomed:
            os.kill(pid, signal.SIGSTOP)  # what they have, they do not finish
        result = self._workers.begin(task)
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        self.dead += doomed
        return result

    def close(self) -> None:
        self._workers.close()


def test_what_a_killed_process_was_scoring_is_scored_again(
    new_fleet: NewFleet, caplog: pytest.LogCaptureFixture
) -> None:
    _, alone = scored(new_fleet, None)
    workers = Killed(local_processes(2))
    try:
        _, together = scored(new_fleet, workers)
    finally:
        workers.close()
    assert len(set(workers.dead)) == 4
    assert "its days are scored again" in caplog.text
    assert told(together) == told(alone)
    assert [len(group) for group in together.recorded] == [len(group) for group in alone.recorded]


def dying() -> ProcessPoolExecutor:
    """Processes that die as they begin."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=os._exit, initargs=(1,))


def test_processes_that_always_die_are_told_and_leave_the_day_to_be_done(new_fleet: NewFleet) -> None:
    fleet, ledger = new_fleet()
    fleet.all_arrive(DAY)
    workers = OtherProcesses(dying, 1)
    fleet.restart(workers)
    with pytest.raises(ScoringLost, match="died twice over 6 asset-days of berlin"):
        fleet.run(closed(DAY))
    workers.close()
    assert not ledger.outcomes
    fleet.restart()
    assert fleet.run(closed(DAY)).asset_days == 6
    assert len(ledger.recorded) == 1


_PARENT = """
import time
from diagnostics.fan_out import local_processes
if __name__ == "__main__":
    workers = local_processes(2)
    executor = workers._make()
    list(executor.map(abs, range(8)))
    print(*executor._processes, flush=True)
    time.sleep(600)
"""


def test_where_the_program_is_killed_no_process_is_left(tmp_path: os.PathLike[str]) -> None:
    script = os.path.join(tmp_path, "program.py")
    with open(script, "w", encoding="utf-8") as file:
        file.write(_PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        assert all(map(alive, children))
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 30
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, children))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def dask() -> Iterator[LocalCluster]:
    """A scheduler and two worker processes on this machine."""
    try:
        from distributed import LocalCluster
    except ModuleNotFoundError:
        missing("dask", "pip install 'fleetdx[cluster]'")
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started:
        yield started


def executed(dask: LocalCluster) -> list[int]:
    """How many calls each worker has answered."""
    from distributed import Client

    with Client(dask.scheduler_address, set_as_default=False) as client:
        counts = client.run(lambda dask_worker: dask_worker.state.executed_count)
    return list(counts.values())


def test_a_cluster_finds_what_one_process_finds(new_fleet: NewFleet, dask: LocalCluster) -> None:
    from diagnostics.cluster import cluster

    before = sum(executed(dask))
    _, alone = scored(new_fleet, None)
    workers = cluster(dask.scheduler_address, 2)
    try:
        _, together = scored(new_fleet, workers)
    finally:
        workers.close()
    assert told(together) == told(alone)
    assert [len(group) for group in together.recorded] == [len(group) for group in alone.recorded]
    # With three days together, at most: days 1 to 10 in four parts, 11 to 14 in two, at three sites each.
    assert sum(executed(dask)) - before >= 15


def test_what_killed_workers_of_a_cluster_were_scoring_is_scored_again(new_fleet: NewFleet, dask: LocalCluster) -> None:
    from diagnostics.cluster import cluster

    def begin_and_kill(task: ToScore) -> Callable[[], Scored]:
        result = begin(task)
        begun.append(task)
        if len(begun) == 4:
            dead.extend(nanny.pid for nanny in dask.workers.values())
            for pid in dead:
                os.kill(pid, signal.SIGKILL)
        return result

    _, alone = scored(new_fleet, None)
    workers = cluster(dask.scheduler_address, 2)
    begin, begun, dead = workers.begin, list[ToScore](), list[int]()
    workers.begin = begin_and_kill  # type: ignore[method-assign]
    try:
        _, together = scored(new_fleet, workers)
    finally:
        workers.close()
    assert len(dead) == 2
    assert not set(dead) & {nanny.pid for nanny in dask.workers.values()}
    assert told(together) == told(alone)
    assert [len(group) for group in together.recorded] == [len(group) for group in alone.recorded]


def test_a_cluster_that_does_not_answer_leaves_the_day_to_be_done(
    new_fleet: NewFleet, dask: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diagnostics import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    fleet, ledger = new_fleet()
    fleet.all_arrive(DAY)
    fleet.restart(cluster.cluster("tcp://127.0.0.1:9", 1))
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9"):
        fleet.run(closed(DAY))
    assert not ledger.outcomes
    fleet.restart(cluster.cluster(dask.scheduler_address, 1))
    assert fleet.run(closed(DAY)).asset_days == 6
