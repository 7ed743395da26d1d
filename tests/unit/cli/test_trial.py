"""How trials measure: CPU between two instants, recovery from commits, the workload and its truth."""

import json
from collections import Counter

from streamctl.bench.workload import PARTITIONS, WINDOW_MS, KeyedViews
from streamctl.trial.commits import Commit
from streamctl.trial.cpu import spent
from streamctl.trial.kill import Kill
from streamctl.trial.memory import grown

SAMPLES = [(100, 1.0), (200, 1.5), (300, 2.5), (400, 2.6)]


def test_spent_between_samples_then_rounds_outwards() -> None:
    assert spent(SAMPLES, 150, 250) == 1.5  # from the sample at 100 to the one at 300
    assert spent(SAMPLES, 200, 300) == 1.0


def test_spent_outside_of_the_samples_then_what_was_seen() -> None:
    assert spent(SAMPLES, 0, 1000) == 2.6 - 1.0
    assert spent([(100, 1.0)], 0, 1000) == 0.0


def commit(lane: str, pid: int, at_s: float) -> Commit:
    return Commit(lane, c=5, by=f"0.0:{pid}:abcd", positions={}, finished=False, snapshot_from=-1, at_s=at_s)


def test_kill_when_lanes_come_back_then_first_and_last_are_timed_once() -> None:
    kill = Kill(pid=7, lanes=frozenset({"v1/0", "v2/0"}), at_s=10.0, committed_at_kill=100)
    kill = kill.after(commit("v1/0", 7, 10.1))  # its own last commit became visible late
    kill = kill.after(commit("v1/1", 8, 10.2))  # another worker's lane
    assert kill.first_commit_s is None
    kill = kill.after(commit("v1/0", 9, 10.5))
    kill = kill.after(commit("v1/0", 9, 10.6))
    assert (kill.first_commit_s, kill.last_lane_s) == (0.5, 0.5)
    kill = kill.after(commit("v2/0", 9, 11.0))
    assert (kill.first_commit_s, kill.last_lane_s) == (0.5, 1.0) and kill.over


def test_memory_grown_then_only_what_is_above_an_idle_worker() -> None:
    assert grown(60, [50, 60, 100, 65]) == 45


def test_workload_then_records_of_100_bytes_whose_views_are_the_truth() -> None:
    views = KeyedViews(20_000, 50)
    records = [(partition, value, json.loads(value)) for partition, value in views]
    assert {len(value) for _, value, _ in records} == {100}
    assert {partition for partition, _, _ in records} == set(range(PARTITIONS))
    truth = Counter((r["user"], r["ts"] - r["ts"] % WINDOW_MS) for _, _, r in records if r["kind"] == "view")
    assert views.truth == truth
    assert 0.68 < sum(truth.values()) / len(records) < 0.72
    again = KeyedViews(20_000, 50)
    assert [value for _, value in again] == [value for _, value, _ in records]
