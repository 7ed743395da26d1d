"""Commit pace: due at the interval, earlier after a burst, slower when commits are slow."""

from __future__ import annotations

from headrace.runtime.pace import INTERVAL_MAX_S, CommitPace


def pace(interval_s: float = 0.1) -> CommitPace:
    p = CommitPace(interval_s, 0.0)
    p.commit_began(0.0)
    p.input_came(0.0)
    return p


def test_clean_lanes_commit_nothing() -> None:
    assert not pace().due(99.0, dirty=False, output_waits=False)


def test_dirty_lanes_commit_at_the_interval() -> None:
    p = pace()
    assert not p.due(0.099, dirty=True, output_waits=False)
    assert p.due(0.1, dirty=True, output_waits=False)


def test_waiting_output_leaves_early_once_the_input_is_quiet() -> None:
    p = pace(1.0)
    p.input_came(0.13)
    assert not p.due(0.134, dirty=True, output_waits=True)
    assert p.due(0.136, dirty=True, output_waits=True)
    assert not p.due(0.136, dirty=True, output_waits=False)


def test_early_commits_keep_a_distance() -> None:
    p = pace(1.0)
    assert not p.due(0.099, dirty=True, output_waits=True)
    assert p.due(0.101, dirty=True, output_waits=True)


def test_slow_commits_stretch_the_interval_up_to_its_bound_and_fast_ones_shrink_it_back() -> None:
    p = pace()
    for _ in range(40):
        p.commit_took(1.0)
    assert p.interval_s == INTERVAL_MAX_S
    for _ in range(60):
        p.commit_took(0.001)
    assert p.interval_s == 0.1


def test_waits_end_when_something_may_become_due() -> None:
    p = pace()
    assert p.wait_s(0.02, dirty=False, output_waits=False, untold=False) == 0.1
    assert abs(p.wait_s(0.02, dirty=True, output_waits=False, untold=False) - 0.08) < 1e-9
    assert abs(pace(1.0).wait_s(0.06, dirty=True, output_waits=True, untold=False) - 0.04) < 1e-9
    assert abs(p.wait_s(0.15, dirty=False, output_waits=False, untold=True) - 0.05) < 1e-9
    assert p.wait_s(5.0, dirty=True, output_waits=False, untold=True) == 0.0
