from headrace.embedded.restarts import PAUSE_MAX_S, Restarts


def test_the_first_restart_is_immediate_then_pauses_double_up_to_a_limit() -> None:
    restarts, pauses = Restarts(), []
    for _ in range(9):
        restarts, pause_s = restarts.ended(healthy_s=0.0)
        pauses.append(pause_s)
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, PAUSE_MAX_S, PAUSE_MAX_S, PAUSE_MAX_S]
    assert restarts.failures == 9


def test_a_good_run_clears_the_count() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts, _ = restarts.ended(healthy_s=1.0)
    assert restarts.ended(healthy_s=60.0) == (Restarts(1), 0.0)
