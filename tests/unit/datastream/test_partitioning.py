"""Ways of shipping records to lanes, and what cannot be shipped."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.common import Row, UnusedSettingWarning
from headrace.datastream import MapFunction, RuntimeContext, StreamExecutionEnvironment
from headrace.datastream.functions import Partitioner
from headrace.errors import HeadraceError, UsageError


class ByRemainder(Partitioner):
    def partition(self, key: int, num_partitions: int) -> int:
        return key % num_partitions


class WithLane(MapFunction):
    def open(self, runtime_context: RuntimeContext) -> None:
        self.lane = runtime_context.get_index_of_this_subtask()

    def map(self, value: Any) -> Any:
        return value, self.lane


@pytest.fixture
def env() -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment.get_execution_environment()


@pytest.mark.parametrize("partitioner", [ByRemainder(), lambda key, lanes: key % lanes])
def test_partition_custom_then_the_partitioner_says_the_lane(
    env: StreamExecutionEnvironment, partitioner: Any
) -> None:
    stream = env.from_collection([(n, "x") for n in range(20)]).partition_custom(partitioner, lambda pair: pair[0])
    rows = list(stream.map(WithLane()).set_parallelism(3).execute_and_collect())
    assert sorted(rows) == [((n, "x"), n % 3) for n in range(20)]


def test_a_partitioner_that_gives_no_lane_fails_the_job_by_name(env: StreamExecutionEnvironment) -> None:
    stream = env.from_collection([1]).partition_custom(lambda key, lanes: lanes, lambda n: n).map(WithLane())
    with pytest.raises(HeadraceError, match="a partitioner must give a whole number from 0 to 1, not 2"):
        list(stream.set_parallelism(2).execute_and_collect())


def test_shuffle_and_rescale_spread_records(env: StreamExecutionEnvironment) -> None:
    for method in ("shuffle", "rescale"):
        stream = getattr(env.from_collection(list(range(20))), method)().map(WithLane()).set_parallelism(2)
        rows = list(stream.execute_and_collect())
        assert sorted(n for n, _ in rows) == list(range(20)) and {lane for _, lane in rows} == {0, 1}


def test_project_takes_fields_by_index(env: StreamExecutionEnvironment) -> None:
    values = [("a", 1, 2.0), Row(name="b", age=2, size=3.0)]
    rows = list(env.from_collection(values).project(2, 0).execute_and_collect())
    assert rows == [(2.0, "a"), (3.0, "b")]
    with pytest.raises(UsageError, match=r"project\(\) takes indexes"):
        env.from_collection(values).project("name")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "method", ["name", "shuffle", "rebalance", "rescale", "broadcast", "forward", "partition_custom"]
)
def test_what_a_keyed_stream_refuses(env: StreamExecutionEnvironment, method: str) -> None:
    keyed = env.from_collection([1]).key_by(lambda n: n)
    with pytest.raises(UsageError):
        getattr(keyed, method)(*(["x"] if method == "name" else []))


def test_force_non_parallel_and_slot_sharing(env: StreamExecutionEnvironment) -> None:
    env.set_parallelism(4)
    stream = env.from_collection([1]).map(lambda n: n).force_non_parallel()
    assert env.program().graph.nodes[-1].parallelism == 1
    with pytest.warns(UnusedSettingWarning, match="share its slots"):
        stream.slot_sharing_group("other")
    stream.set_description("what it does")
    assert stream.get_name() == "what it does"
