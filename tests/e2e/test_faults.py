"""Processes die, freeze and forget under a running job; every key and window of its result is compared.

The tests share one platform (``platform``), each runs a job of its own. Limits in seconds hold on a machine that
does nothing else; ``patience`` stretches them on one that does.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median

import pytest
import redis
from tests.e2e.platform_job import PlatformJob, running_job
from tests.e2e.platform_site import Site, gone, load, patience

from headrace.embedded.ports import is_open
from headrace.log.hanging_transactions import repair_hanging_transactions
from headrace.protocol.states import JobStatus

pytestmark = pytest.mark.e2e

Tell = Callable[[str], None]

WORKER_KILLS = 20
DIRECT_KILLS = 4
#: A broker that ends sooner after its last start is given a pause by its supervisor.
BROKER_GOOD_RUN_S = 6.0
#: A worker that says nothing for ten seconds is killed.
SILENT_S = 10.0


@pytest.fixture
def site(platform: Site) -> Iterator[Site]:
    """The platform as it should be before and after each test."""
    platform.await_healthy()
    yield platform
    assert platform.mistakes() == []


def kill(pid: int) -> float:
    """SIGKILL; when."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


# ---- slot workers


def test_workers_killed_twenty_times_at_random(site: Site, tell: Tell) -> None:
    chance = random.Random(20)
    first_s: list[float] = []
    all_s: list[float] = []
    with running_job(site, seed=20) as job:
        killed: set[int] = set()
        while len(killed) < WORKER_KILLS:
            job.await_commits(chance.randint(1, 12), "before the next kill")
            workers = sorted(set(job.commits.pids().values()) - killed)
            if not workers:  # killed before the successor of the last one has committed
                continue
            victims = workers if chance.random() < 0.2 else [chance.choice(workers)]
            lanes = job.commits.lanes_of(victims)
            since_s = time.monotonic()
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            killed |= set(victims)
            took_s = job.await_new_owner(lanes, killed, since_s, deadline_s=patience(20))
            first_s.append(min(took_s.values()))
            all_s.append(max(took_s.values()))
        account = job.require_exact()
        assert {lane.split(".")[0] for lane in job.commits.attempts().values()} == {"1"}, job.story()
    tell(
        f"{len(killed)} slot workers killed: first commit p50 {median(first_s):.2f} s, max {max(first_s):.2f} s; "
        f"all lanes p50 {median(all_s):.2f} s, max {max(all_s):.2f} s; {account.expected} windows exact; {load()}"
    )
    assert median(first_s) <= patience(1.0)
    assert max(first_s) <= patience(3.0)


def test_a_silent_worker_is_killed_and_started_again(site: Site, tell: Tell) -> None:
    with running_job(site, seed=21) as job:
        victim = job.commits.pids()["v2/1"]
        lanes = job.commits.lanes_of([victim])
        others = job.lanes - lanes
        since_s = time.monotonic()
        with site.frozen(victim):
            job.until(
                lambda: job.commits.first_s({"v1/0"}, after_s=since_s + SILENT_S / 2), "others commit meanwhile"
            )
            took_s = job.await_new_owner(lanes, {victim}, since_s, deadline_s=SILENT_S + patience(20))
            assert gone(victim)
        assert others == job.commits.lanes_of(set(job.commits.pids().values()) - {job.commits.pids()["v2/1"]})
        first_s = min(took_s.values())
        account = job.require_exact()
    tell(f"silent worker: commits again after {first_s:.1f} s; {account.expected} windows exact; {load()}")
    assert SILENT_S - 2 < first_s <= SILENT_S + patience(2.5)


def test_a_worker_killed_while_the_dispatcher_is_stopped_comes_back(site: Site, tell: Tell) -> None:
    with running_job(site, seed=22) as job:
        before = record(site, job)
        with site.frozen(site.pid("dispatcher")):
            victim = job.commits.pids()["v2/0"]
            lanes = job.commits.lanes_of([victim])
            took_s = job.await_new_owner(lanes, {victim}, kill(victim), deadline_s=patience(20))
            job.await_commits(20, "while the Dispatcher is stopped")
        owners = job.commits.attempts()
        job.until(lambda: record(site, job).status is JobStatus.RUNNING, "the Dispatcher commands again")
        job.until(
            lambda: {record(site, job).lanes[lane].attempt for lane in lanes} == {"1.1"},
            "it has heard of the restart",
        )
        assert record(site, job).epoch >= before.epoch
        account = job.require_exact()
        assert job.commits.attempts() == owners
    tell(
        f"worker killed without a Dispatcher: commits again after {min(took_s.values()):.2f} s; "
        f"{account.expected} windows exact; {load()}"
    )


def test_at_least_once_nothing_is_lost_when_workers_are_killed(site: Site, tell: Tell) -> None:
    chance = random.Random(27)
    first_s: list[float] = []
    with running_job(site, seed=27, delivery="at-least-once") as job:
        killed: set[int] = set()
        for _ in range(DIRECT_KILLS):
            job.await_commits(chance.randint(4, 9), "before the next kill")
            victim = chance.choice(sorted(set(job.commits.pids().values()) - killed))
            lanes = job.commits.lanes_of([victim])
            took_s = job.await_new_owner(lanes, killed | {victim}, kill(victim), deadline_s=patience(20))
            killed.add(victim)
            first_s.append(min(took_s.values()))
        again = job.require_nothing_lost()
    tell(
        f"at least once, {DIRECT_KILLS} workers killed: first commit p50 {median(first_s):.2f} s, max "
        f"{max(first_s):.2f} s; nothing lost, {again} records counted again; {load()}"
    )
    assert max(first_s) <= patience(3.0)


# ---- TaskManagers


def test_a_frozen_taskmanager_loses_its_lanes_and_is_fenced_when_it_wakes(site: Site, tell: Tell) -> None:
    with running_job(site, seed=23) as job, site.taskmanager("relief", slots=2):
        taskmanager = site.pid("taskmanager")
        old = set(site.workers())
        assert set(job.commits.pids().values()) <= old
        since_s = time.monotonic()
        with site.frozen(taskmanager, *old):
            took_s = job.await_new_owner(job.lanes, old, since_s, deadline_s=patience(20))
            job.await_commits(20, "elsewhere")
        working = old & {commit.pid for commit in job.commits.all()}
        job.until(lambda: all(gone(pid) for pid in working), "the old workers end", patience(15))
        job.await_commits(20, "after the old TaskManager woke")
        assert not old & set(job.commits.pids().values())
        assert not gone(taskmanager)
        account = job.require_exact()
        assert {lane.split(".")[0] for lane in job.commits.attempts().values()} == {"2"}, job.story()
    tell(
        f"TaskManager frozen: first lane elsewhere after {min(took_s.values()):.1f} s, "
        f"all after {max(took_s.values()):.1f} s; {account.expected} windows exact; {load()}"
    )
    assert max(took_s.values()) <= patience(10)


def test_lanes_of_a_killed_taskmanager_go_on_at_another(site: Site, tell: Tell) -> None:
    with site.taskmanager("doomed", slots=2) as doomed:
        with site.frozen(site.pid("taskmanager")):  # so that the job goes to the other
            site.until(lambda: len(site.taskmanagers()) == 1, "only the other one is there", 20)
            starting = running_job(site, seed=24)
            job = starting.__enter__()
        try:
            workers = site.workers(doomed.pid)
            old = set(job.commits.pids().values())
            assert old <= set(workers)
            took_s = job.await_new_owner(job.lanes, old, kill(doomed.pid), deadline_s=patience(25))
            job.until(lambda: all(gone(pid) for pid in workers), "its workers ended with it", patience(5))
            account = job.require_exact()
        finally:
            starting.__exit__(None, None, None)
    tell(
        f"TaskManager killed: first lane elsewhere after {min(took_s.values()):.1f} s, "
        f"all after {max(took_s.values()):.1f} s; {account.expected} windows exact; {load()}"
    )
    assert max(took_s.values()) <= patience(10)


@pytest.mark.chaos  # for time
def test_a_killed_taskmanager_that_is_restarted_takes_its_lanes_up_again(site: Site, tell: Tell) -> None:
    with running_job(site, seed=25) as job:
        old = set(site.workers())
        since_s = time.monotonic()
        site.kill("taskmanager")
        took_s = job.await_new_owner(job.lanes, old, since_s, deadline_s=patience(30))
        assert all(gone(pid) for pid in old)
        account = job.require_exact()
    tell(
        f"TaskManager killed and restarted: commits again after {min(took_s.values()):.1f} s, "
        f"all lanes after {max(took_s.values()):.1f} s; {account.expected} windows exact; {load()}"
    )


# ---- the control plane


def test_a_killed_dispatcher_is_not_missed_and_adopts_the_job(site: Site, tell: Tell) -> None:
    with running_job(site, seed=26) as job:
        before, owners = record(site, job), job.commits.attempts()
        since_s = time.monotonic()
        site.kill("dispatcher")
        job.until(
            lambda: (
                (now := site.job(job.id)) is not None and now.epoch > before.epoch and now.status is JobStatus.RUNNING
            ),
            "the new Dispatcher has adopted the job",
            patience(45),
        )
        adopted_s = time.monotonic()
        pause_s = longest_pause_s(job, since_s, adopted_s)
        meanwhile = sum(since_s < commit.at_s < adopted_s for commit in job.commits.all())
        job.await_commits(20, "after the adoption")
        after = record(site, job)
        assert {n: lane.attempt for n, lane in after.lanes.items()} == {
            n: lane.attempt for n, lane in before.lanes.items()
        }
        assert job.commits.attempts() == owners
        account = job.require_exact()
    tell(
        f"Dispatcher killed: {meanwhile} commits until it was back after {adopted_s - since_s:.1f} s, longest pause "
        f"{pause_s:.2f} s, epoch {before.epoch} to {after.epoch}; {account.expected} windows exact; {load()}"
    )
    assert meanwhile > 10
    assert pause_s <= patience(1.5)


def test_a_flushed_redis_is_filled_again_and_nothing_restarts(site: Site, tell: Tell) -> None:
    with running_job(site, seed=27) as job:
        before, owners = record(site, job), job.commits.attempts()
        with redis.Redis.from_url(site.redis_url) as client:
            client.flushall()
        since_s = time.monotonic()
        job.until(lambda: rebuilt(site, job, before.lanes.keys()), "the registry is rebuilt", patience(20))
        rebuilt_s = time.monotonic()
        listed = {each["job_id"]: each["status"] for each in site.streamctl("list", "--json").last["jobs"]}
        assert listed[job.id] == "RUNNING"
        shown = site.streamctl("show", job.id, "--json").last
        assert shown["job"]["lanes"].keys() == before.lanes.keys()
        assert shown["graph"] is not None
        job.until(lambda: site.free_slots() == 0, "the TaskManager is there again, its slots in use")
        job.await_commits(40, "after the flush")
        pause_s = longest_pause_s(job, since_s, time.monotonic())
        assert {n: lane.attempt for n, lane in record(site, job).lanes.items()} == {
            n: lane.attempt for n, lane in before.lanes.items()
        }
        assert job.commits.attempts() == owners
        account = job.require_exact()
    tell(
        f"Redis flushed: registry rebuilt after {rebuilt_s - since_s:.1f} s, longest pause {pause_s:.2f} s; "
        f"{account.expected} windows exact; {load()}"
    )
    assert pause_s <= patience(1.5)


# ---- the broker


@pytest.mark.timeout(900)  # ten starts of a broker take minutes on a busy machine
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.chaos)])
def test_the_broker_killed_under_load(site: Site, tell: Tell, kills: int) -> None:
    chance = random.Random(10)
    first_s: list[float] = []
    with running_job(site, seed=10, rate_per_s=1500) as job:
        owners = job.commits.attempts()
        for number in range(kills):
            healthy_s = time.monotonic()
            job.await_commits(chance.randint(1, 40), "before the next kill", patience(30))
            job.until(lambda: time.monotonic() - healthy_s > BROKER_GOOD_RUN_S, "a good run", 20)  # noqa: B023
            killed_s = time.monotonic()
            opened_s = restart_broker(site, job)
            job.until(
                lambda: job.commits.first_s(job.lanes, after_s=opened_s),  # noqa: B023
                "the first commit after the broker is back",
                patience(30),
            )
            first_s.append(min(job.commits.first_s(job.lanes, after_s=opened_s).values()) - opened_s)
            job.until(lambda: site.cluster.state.healthy, "every service is healthy again", patience(60))
            job.until(
                lambda: job.commits.first_s(job.lanes, after_s=opened_s).keys() == job.lanes,  # noqa: B023
                "every lane commits again",
                patience(40),
            )
            print(
                f"broker kill {number}: port open after {opened_s - killed_s:.1f} s, "
                f"first commit {first_s[-1]:.1f} s "
                f"later, all healthy {time.monotonic() - opened_s:.1f} s later"
            )
        account = job.require_exact()
        kept = sum(owners[lane] == by for lane, by in job.commits.attempts().items())
        hanging = repair_hanging_transactions(site.bootstrap, write=False)
        attempts = Counter(lane.attempt for lane in record(site, job).lanes.values())
    tell(
        f"{kills} broker kills: first commit after the port opened p50 {median(first_s):.2f} s, "
        f"max {max(first_s):.2f} s; {kept} of {len(owners)} lanes with their first owner, "
        f"attempts {dict(attempts)}; {account.expected} windows exact; {load()}"
    )
    assert hanging == []
    assert max(first_s) <= patience(10)


def restart_broker(site: Site, job: PlatformJob) -> float:
    """SIGKILL the broker; when its successor's port was open."""
    port = site.cluster.spec.ports.kafka
    site.kill("kafka")
    job.until(lambda: not is_open(port), "the broker is dead")
    site.until(lambda: is_open(port), "its successor's port is open", patience(60))
    return time.monotonic()


# ---- what the tests look at


def record(site: Site, job: PlatformJob):
    """The registry's view of the job, which must be there."""
    found = site.job(job.id)
    if found is None:
        job.until(lambda: site.job(job.id) is not None, "REST knows the job")
        found = site.job(job.id)
    assert found is not None
    return found


def longest_pause_s(job: PlatformJob, from_s: float, to_s: float) -> float:
    """The longest time without a commit of any lane."""
    times = [from_s, *(c.at_s for c in job.commits.all() if from_s < c.at_s < to_s), to_s]
    return max(after - before for before, after in zip(times, times[1:], strict=False))


def rebuilt(site: Site, job: PlatformJob, lanes) -> bool:
    """The registry knows the job, running, with all its lanes."""
    found = site.job(job.id)
    return found is not None and found.status is JobStatus.RUNNING and found.lanes.keys() == lanes
