"""Options of a program: restart strategies, parallelism, name, chaining."""

from __future__ import annotations

import pytest

from headrace.common import Configuration
from headrace.datastream import StreamExecutionEnvironment
from headrace.datastream.options import checked, restart_strategy
from headrace.errors import UsageError
from headrace.protocol.submission import ExponentialDelay, FixedDelay, NoRestart, RestartStrategy


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({}, ExponentialDelay()),
        ({"restart-strategy.type": "none"}, NoRestart()),
        ({"restart-strategy.type": "fixed-delay"}, FixedDelay()),
        (
            {
                "restart-strategy.type": "fixed-delay",
                "restart-strategy.fixed-delay.attempts": "7",
                "restart-strategy.fixed-delay.delay": "10 s",
            },
            FixedDelay(attempts=7, delay_ms=10_000),
        ),
        (
            {
                "restart-strategy.type": "exponential-delay",
                "restart-strategy.exponential-delay.attempts-before-fail": "0",
                "restart-strategy.exponential-delay.initial-backoff": "500",
                "restart-strategy.exponential-delay.max-backoff": "5min",
                "restart-strategy.exponential-delay.backoff-multiplier": "2",
            },
            ExponentialDelay(attempts=0, initial_ms=500, max_ms=300_000, multiplier=2.0),
        ),
    ],
)
def test_restart_strategies(options: dict[str, str], strategy: RestartStrategy) -> None:
    assert restart_strategy(Configuration(options)) == strategy


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("restart-strategy.exponential-delay.attempts-before-fail", "-1", "a whole number from 0"),
        ("restart-strategy.exponential-delay.max-backoff", "soon", "a duration such as 500 ms"),
        ("restart-strategy.exponential-delay.max-backoff", "5 weeks", "a duration such as 500 ms"),
        ("restart-strategy.exponential-delay.backoff-multiplier", "0.5", "a number from 1"),
        ("restart-strategy.exponential-delay.backoff-multiplier", "nan", "a number from 1"),
        ("parallelism.default", "two", "a whole number"),
        ("pipeline.lanes", "", "a whole number"),
        ("execution.commit-interval-ms", "0", "a whole number of milliseconds from 1 to 60000"),
        ("execution.commit-interval-ms", "100 ms", "a whole number of milliseconds from 1 to 60000"),
        ("pipeline.operator-chaining.enabled", "maybe", "true or false"),
    ],
)
def test_an_option_with_a_wrong_value_is_named(key: str, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        StreamExecutionEnvironment(Configuration({key: text}))
    assert caught.value.code == "option-invalid"
    assert f"{key} is {text!r}; it must be {expected}" in caught.value.message


def test_parallelism_and_chaining_come_from_options() -> None:
    env = StreamExecutionEnvironment(
        Configuration({"parallelism.default": "3", "pipeline.operator-chaining.enabled": "false"})
    )
    assert env.get_parallelism() == 3
    assert not env.is_chaining_enabled()
    assert env.set_parallelism(2).get_parallelism() == 2


@pytest.mark.parametrize("lanes", ["1", "65"])
def test_lanes_lie_between_parallelism_and_the_maximum(lanes: str) -> None:
    env = StreamExecutionEnvironment(Configuration({"pipeline.lanes": lanes, "parallelism.default": "2"}))
    env.from_collection([1])
    with pytest.raises(UsageError) as caught:
        env.program()
    assert f"pipeline.lanes is {lanes} at a parallelism of 2; it must be from 2 to 64" in caught.value.message


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pipeline.lane", "pipeline.lanes"),
        ("parallelism.defaults", "parallelism.default"),
        ("execution.delivry", "execution.delivery"),
        ("Pipeline.Name", "pipeline.name"),
        ("restart-strategy.fixed-delay.attempt", "restart-strategy.fixed-delay.attempts"),
    ],
)
def test_an_option_that_is_almost_one_of_ours_is_refused(written: str, meant: str) -> None:
    with pytest.raises(UsageError) as error:
        checked(Configuration({written: "1"}))
    assert error.value.code == "option-invalid"
    assert f"{written} is no option; did you mean {meant}?" in str(error.value)


@pytest.mark.parametrize(
    "key", ["my.own.option", "shop.lanes", "state.backend", "pipeline.object-reuse", "threshold"]
)
def test_options_of_the_users_own_travel(key: str) -> None:
    checked(Configuration({key: "1"}))
