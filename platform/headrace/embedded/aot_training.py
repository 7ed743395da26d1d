"""The training run that makes the cache for faster broker starts: a throw-away broker, its first work, its end.

Run as ``python -m headrace.embedded.aot_training SPEC``: the ClusterSpec (JSON) says which Java and jars. The
cluster itself is not touched and may be gone by then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from headrace.clock import monotonic_s
from headrace.embedded.cluster_files import ClusterSpec
from headrace.embedded.java import Java
from headrace.embedded.kafka_server import KafkaServer
from headrace.embedded.ports import choose_port, is_open
from headrace.embedded.processes import child_environment, log_end

START_TIMEOUT_S = 300.0
WORK_TIMEOUT_S = 120.0
END_TIMEOUT_S = 300.0
NICENESS = 19


def train(server: KafkaServer, cache: Path) -> None:
    """Run a throw-away broker through its first work and put the cache at ``cache``. Raises RuntimeError."""
    server.prepare()
    made = server.directory / "made.aot"
    with server.output_file.open("ab") as output:
        broker = subprocess.Popen(
            server.command(aot_output=made),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(),
        )
    try:
        deadline = monotonic_s() + START_TIMEOUT_S
        while not is_open(server.port):
            if broker.poll() is not None or monotonic_s() > deadline:
                raise RuntimeError(f"the training broker did not start: {log_end(server.output_file)}")
            try:
                broker.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
        exercise(server.bootstrap, "exercise", WORK_TIMEOUT_S)
        broker.terminate()
        broker.wait(END_TIMEOUT_S)  # the cache is written at its end
    finally:
        broker.kill()
        broker.wait()
    if not made.exists():
        raise RuntimeError(f"no cache was written: {log_end(server.output_file)}")
    os.replace(made, cache)
    for other in cache.parent.glob(f"*-{cache.stem.rpartition('-')[2]}.aot"):
        if other != cache:  # of an older Java or older jars at the same place
            other.unlink(missing_ok=True)


def exercise(bootstrap: str, topic: str, timeout_s: float) -> None:
    """What every cluster does first: a topic, transactions, consuming, a group."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    from headrace.log.kafka_options import client_options

    options = client_options(bootstrap)
    admin = AdminClient(options)
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(timeout_s)
    producer = Producer({**options, "transactional.id": topic})
    producer.init_transactions(timeout_s)
    for transaction in range(50):
        producer.begin_transaction()
        for record in range(100):
            producer.produce(topic, f"{transaction} {record}".encode() * 10, partition=record % 4)
        if transaction % 10 == 9:
            producer.flush(timeout_s)
            producer.abort_transaction(timeout_s)
        else:
            producer.commit_transaction(timeout_s)
    consumer = Consumer({**options, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    deadline = monotonic_s() + timeout_s
    read = 0
    while read < 4_500:
        if monotonic_s() > deadline:
            raise RuntimeError(f"the training consumer read {read} of 4500 records in {timeout_s} s")
        read += sum(message.error() is None for message in consumer.consume(1_000, 0.1))
    consumer.commit(asynchronous=False)
    consumer.close()
    admin.delete_records([TopicPartition(topic, 0, 10)])[TopicPartition(topic, 0)].result(timeout_s)


def main() -> None:
    """Make the cache of a cluster's Java and jars, unless it exists or is being made."""
    spec = ClusterSpec.model_validate_json(sys.argv[1])
    if spec.aot_cache is None:
        return
    os.nice(NICENESS)
    cache = spec.aot_cache
    try:
        with FileLock(cache.with_suffix(".lock"), timeout=0):
            if cache.exists():
                return
            with tempfile.TemporaryDirectory(dir=cache.parent, prefix="training-") as directory:
                port = choose_port(set())
                server = KafkaServer(
                    directory=Path(directory),
                    port=port,
                    controller_port=choose_port({port}),
                    java=Java(spec.java, spec.java_version),
                    jars=spec.jars,
                )
                train(server, cache)
    except Timeout:
        return


if __name__ == "__main__":
    main()
