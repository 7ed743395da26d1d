"""Programs as PyFlink's users write them, with their imports changed, give what they gave."""

from __future__ import annotations

from typing import Any

from tests.unit.ports import fraud_check

from headrace.datastream import StreamExecutionEnvironment


def collected(build: Any) -> list[str]:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_parallelism(1)
    with build(env).execute_and_collect() as rows:
        return sorted(map(str, rows))


def test_fraud_check() -> None:
    expected = [
        "Row(account_id=1, what='alert', amount=500.01)",
        "Row(account_id=1, what='alert', amount=800.0)",
        "Row(account_id=2, what='all quiet', amount=0.0)",
    ]
    assert collected(fraud_check.alerts) == expected
