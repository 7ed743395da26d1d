"""When a Dispatcher may act."""

from __future__ import annotations

from headrace.dispatcher.lease import FENCE_S, SILENCE_S, Lease, Standing


def test_a_granted_lease_is_fenced_from_the_time_of_asking():
    lease = Lease().granted(asked_s=100.0)
    assert lease.may_act
    assert lease.at(100.0 + FENCE_S - 0.01).may_act
    assert not lease.at(100.0 + FENCE_S).may_act


def test_a_denied_one_ends_at_once():
    assert not Lease().granted(100.0).denied().may_act


def test_silence_ends_a_held_lease_at_its_fence_and_frees_after_ten_seconds():
    lease = Lease().granted(100.0)
    lease = lease.silent(asked_s=101.0, now_s=101.5)
    assert lease.standing is Standing.HELD
    lease = lease.silent(102.0, 102.5)
    assert lease.standing is Standing.NONE
    lease = lease.silent(110.0, 101.0 + SILENCE_S - 0.1)
    assert not lease.may_act
    lease = lease.silent(110.5, 101.0 + SILENCE_S)
    assert lease.standing is Standing.ALONE
    assert lease.at(500.0).may_act
    assert not lease.denied().may_act
    assert lease.granted(120.0) == Lease(Standing.HELD, 120.0 + FENCE_S)


def test_an_answer_breaks_the_silence():
    lease = Lease().silent(100.0, 100.5).denied().silent(105.0, 105.5)
    assert not lease.silent(111.0, 111.5).may_act
    assert lease.silent(115.0, 115.0).may_act
