"""The embedded servers as a whole: started, killed one after the other, adopted, stopped.

The tests share one cluster without Dispatcher and TaskManager, in this order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka.admin import AdminClient
from tests.e2e.embedded_client import committed, create_topic, produce

from headrace.embedded import EmbeddedCluster
from headrace.embedded.cluster_files import state_file
from headrace.embedded.ports import is_open
from headrace.embedded.processes import find_all_marked
from headrace.errors import HeadraceError, UsageError
from headrace.settings import Settings

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(tmp_path_factory.mktemp("cluster"), name="test", platform=False) as running:
        yield running


def until(condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


def kill(cluster: EmbeddedCluster, name: str) -> int:
    pid = cluster.pids[name]
    os.kill(pid, signal.SIGKILL)
    return pid


def restarted(cluster: EmbeddedCluster, name: str, old: int) -> Callable[[], bool]:
    return lambda: cluster.pids.get(name, old) != old and cluster.state.healthy


def test_both_servers_are_real_and_set_up_as_promised(cluster: EmbeddedCluster) -> None:
    topics = AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=10).topics
    assert len(topics["__consumer_offsets"].partitions) == len(topics["__transaction_state"].partitions) == 8
    with redis.Redis.from_url(cluster.redis, decode_responses=True) as client:
        settings = client.config_get("append*")
    assert settings["appendonly"] == "yes" and settings["appendfsync"] == "always"
    assert set(cluster.pids) == {"supervisor", "kafka", "redis"}


def test_a_killed_broker_comes_back_on_its_port_with_its_data(cluster: EmbeddedCluster) -> None:
    create_topic(cluster.bootstrap, "kept")
    produce(cluster.bootstrap, "kept", [str(n) for n in range(1_000)])
    before = cluster.bootstrap
    until(restarted(cluster, "kafka", kill(cluster, "kafka")), "Kafka is restarted")
    assert cluster.bootstrap == before
    produce(before, "kept", ["after"])
    assert committed(before, "kept") == [*(str(n) for n in range(1_000)), "after"]
    assert cluster.state.services["kafka"].starts == 2


def test_a_killed_redis_comes_back_on_its_port_with_its_data(cluster: EmbeddedCluster) -> None:
    with redis.Redis.from_url(cluster.redis) as client:
        client.set("kept", "value")
    until(restarted(cluster, "redis", kill(cluster, "redis")), "Redis is restarted")
    with redis.Redis.from_url(cluster.redis) as client:
        assert client.get("kept") == b"value"


def test_the_servers_outlive_their_supervisor_and_are_adopted(cluster: EmbeddedCluster) -> None:
    servers = {name: pid for name, pid in cluster.pids.items() if name != "supervisor"}
    old = kill(cluster, "supervisor")
    until(lambda: "supervisor" not in cluster.pids, "the supervisor is gone")
    with pytest.raises(UsageError, match="kafka-port"):  # an option that would need a restart is refused
        EmbeddedCluster(cluster.directory, platform=False, kafka_port=1).start()
    cluster.start()
    assert cluster.pids["supervisor"] != old
    assert {name: pid for name, pid in cluster.pids.items() if name != "supervisor"} == servers
    until(restarted(cluster, "redis", kill(cluster, "redis")), "an adopted server is restarted")


def test_a_server_that_died_while_nobody_watched_is_started_again(cluster: EmbeddedCluster) -> None:
    kill(cluster, "supervisor")
    until(lambda: "supervisor" not in cluster.pids, "the supervisor is gone")
    old = kill(cluster, "redis")
    cluster.start()
    assert cluster.pids["redis"] != old


def test_stop_leaves_no_process_even_of_what_was_not_written_down(cluster: EmbeddedCluster) -> None:
    everything = [psutil.Process(pid) for pid in cluster.pids.values()]
    kill(cluster, "supervisor")
    until(lambda: "supervisor" not in cluster.pids, "the supervisor is gone")
    state_file(cluster.directory).unlink()  # as if it had died before it could write the pids down
    assert cluster.stop() == ["kafka", "redis"]
    assert [process for process in everything if process.is_running() and process.status() != "zombie"] == []
    assert find_all_marked(cluster.directory) == [] and cluster.pids == {}
    assert not is_open(cluster.spec.ports.kafka) and not is_open(cluster.spec.ports.redis)
    assert cluster.stop() == []


def test_two_starts_at_once_make_one_cluster_of_what_was_stopped(cluster: EmbeddedCluster) -> None:
    cluster.stop()
    program = (
        "import json, sys; from pathlib import Path; from headrace.embedded import EmbeddedCluster\n"
        "cluster = EmbeddedCluster(Path(sys.argv[1]), name='test', platform=False); cluster.start()\n"
        "print(json.dumps([cluster.bootstrap, cluster.pids]))"
    )
    command = [sys.executable, "-c", program, str(cluster.directory)]
    starts = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(start.communicate(timeout=120)[0]) for start in starts]
    assert answers[0] == answers[1] == [cluster.bootstrap, cluster.pids]
    assert cluster.state.services["kafka"].starts == 1
    assert committed(cluster.bootstrap, "kept")[-1] == "after"


def test_a_taken_port_is_named_and_nothing_is_started(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    other = EmbeddedCluster(tmp_path, platform=False, kafka_port=cluster.spec.ports.kafka)
    with pytest.raises(HeadraceError, match=f"taken by process {cluster.pids['kafka']}") as caught:
        other.start()
    assert caught.value.code == "port-taken"
    assert find_all_marked(tmp_path) == []


def test_a_server_that_cannot_run_is_told_and_the_rest_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").write_text("a file where Redis needs a directory")
    cluster = EmbeddedCluster(tmp_path, name="broken", platform=False)
    with pytest.raises(HeadraceError, match="Redis ended with 1") as caught:
        cluster.start(timeout_s=60)
    assert caught.value.code == "service-ended" and "redis.out" in caught.value.hint
    assert find_all_marked(tmp_path) == [] and cluster.pids == {}


def test_no_jars_no_start(tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path / "cache", maven_repo="http://127.0.0.1:1/")
    with pytest.raises(HeadraceError) as caught:
        EmbeddedCluster(tmp_path / "cluster", platform=False, settings=settings).start()
    assert caught.value.code == "maven-unreachable"
    assert find_all_marked(tmp_path / "cluster") == []
