"""Requests of the command line over a real Kafka without a Dispatcher: what is said when nobody answers."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from headrace.errors import UnavailableError, UsageError
from headrace.graph.job_graph import JobGraph, Operator, OperatorKind, Vertex
from headrace.ids import new_job_id, new_request_id
from headrace.protocol.control import JobEvent, LogLines
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import InboxMessage, InlineCode, Submit, UploadedCode
from headrace.protocol.topics import Topics, home_partition
from streamctl.client import JobEvents, JobLogs, JobsClient, upload
from streamctl.kafka import Connection

pytestmark = pytest.mark.e2e

PARTITIONS = 4


@pytest.fixture(scope="module")
def topics(kafka: str, namespace: str) -> Topics:
    """The control topics a client touches, as a Dispatcher makes them."""
    names = Topics(namespace)
    admin = AdminClient({"bootstrap.servers": kafka})
    wanted = [NewTopic(t, PARTITIONS) for t in (names.jobs, names.job_events, names.logs)]
    wanted.append(NewTopic(names.artifacts, 1, config={"max.message.bytes": "1000000"}))
    for future in admin.create_topics(wanted).values():
        future.result(20)
    return names


@pytest.fixture
def connection(kafka: str) -> Iterator[Connection]:
    with Connection(kafka, {}) as open_connection:
        yield open_connection


def submission() -> Submit:
    source = Operator(uid="s", kind=OperatorKind.COLLECTION_SOURCE, name="items", params={"count": 0})
    graph = JobGraph(vertices=(Vertex(id="v1", name="items", operators=(source,)),))
    return Submit(type="submit", request_id=new_request_id(), job_id=new_job_id(), name="t", graph=graph)


def client_of(kafka: str, topics: Topics) -> JobsClient:
    return JobsClient(lambda: Connection(kafka, {}), topics.namespace)


class Answering(Connection):
    """A connection whose requests are answered: the event is there as soon as the request is."""

    def __init__(self, kafka: str, topics: Topics, *events: JobEvent) -> None:
        super().__init__(kafka, {})
        self._topics, self._events, self.sent = topics, events, list[bytes]()

    def send(self, topic: str, partition: int | None, records: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        offsets = super().send(topic, partition, records)
        if topic == self._topics.jobs:
            self.sent += [value for _, value in records]
            request = InboxMessage.model_validate_json(records[0][1]).root
            assert offsets[0][0] == home_partition(request.job_id, PARTITIONS)
            for event in self._events:
                answered = event.model_copy(
                    update={"job_id": request.job_id, "request_id": event.request_id and request.request_id}
                )
                publish(self.bootstrap, self._topics, answered)
        return offsets


def publish(kafka: str, topics: Topics, event: JobEvent) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    partition = home_partition(event.job_id, PARTITIONS)
    producer.produce(topics.job_events, key=event.job_id, value=event.model_dump_json(), partition=partition)
    assert producer.flush(10) == 0


def event(type: str, status: JobStatus | None = None, *, answer: bool = False, **more: object) -> JobEvent:
    return JobEvent(job_id="", type=type, status=status, request_id="x" if answer else None, at_ms=1, **more)


def test_submit_when_no_dispatcher_ever_ran_then_says_so_at_once(kafka: str) -> None:
    begin = time.monotonic()
    with pytest.raises(UnavailableError) as raised:
        client_of(kafka, Topics("nobody")).submit(submission(), b"")
    assert raised.value.code == "no-dispatcher"
    assert time.monotonic() - begin < 5


def test_submit_when_no_dispatcher_answers_then_says_that_again_is_safe(kafka: str, topics: Topics) -> None:
    wanted = submission()
    with pytest.raises(UnavailableError) as raised:
        client_of(kafka, topics).submit(wanted, b"code")
    assert raised.value.code == "no-dispatcher-answer"
    assert raised.value.exit_code == 3
    assert f"--job-id {wanted.job_id}" in raised.value.hint


def test_submit_when_events_come_before_the_answer_then_none_is_lost(kafka: str, topics: Topics) -> None:
    connection = Answering(
        kafka,
        topics,
        event("STATUS", JobStatus.INITIALIZING),
        event("ACKNOWLEDGED", JobStatus.CREATED, answer=True),
        event("STATUS", JobStatus.RUNNING),
    )
    answer, events = JobsClient(lambda: connection, topics.namespace).submit(submission(), b"code")
    assert answer.type == "ACKNOWLEDGED"
    assert [e.status for e in taken(events, 3)] == [JobStatus.INITIALIZING, JobStatus.CREATED, JobStatus.RUNNING]
    events.close()


def test_submit_when_the_id_was_used_before_then_its_earlier_events_come_first(kafka: str, topics: Topics) -> None:
    wanted = submission()
    publish(kafka, topics, event("STATUS", JobStatus.RUNNING).model_copy(update={"job_id": wanted.job_id}))
    connection = Answering(kafka, topics, event("ACKNOWLEDGED", answer=True))
    answer, events = JobsClient(lambda: connection, topics.namespace).submit(wanted, b"code", again=True)
    assert answer.type == "ACKNOWLEDGED"
    assert [(e.type, e.status) for e in taken(events, 2)] == [("STATUS", JobStatus.RUNNING), ("ACKNOWLEDGED", None)]
    events.close()


def test_submit_when_rejected_then_the_dispatchers_code_and_reason(kafka: str, topics: Topics) -> None:
    refusal = event("REJECTED", answer=True, code="job-exists", reason="job 12 has other content")
    connection = Answering(kafka, topics, refusal)
    with pytest.raises(UsageError, match="job 12 has other content") as raised:
        JobsClient(lambda: connection, topics.namespace).submit(submission(), b"code")
    assert raised.value.code == "job-exists"


def test_submit_when_code_is_small_then_it_travels_inside(kafka: str, topics: Topics) -> None:
    connection = Answering(kafka, topics, event("ACKNOWLEDGED", answer=True))
    _, events = JobsClient(lambda: connection, topics.namespace).submit(submission(), b"code")
    events.close()
    sent = Submit.model_validate_json(connection.sent[0])
    assert isinstance(sent.code, InlineCode)
    assert base64.b64decode(sent.code.data) == b"code"


def test_submit_when_code_is_large_then_it_is_uploaded_first(kafka: str, topics: Topics) -> None:
    code = bytes(range(256)) * 9_000  # 2.3 MB
    connection = Answering(kafka, topics, event("ACKNOWLEDGED", answer=True))
    _, events = JobsClient(lambda: connection, topics.namespace).submit(submission(), code)
    events.close()
    sent = Submit.model_validate_json(connection.sent[0])
    assert isinstance(sent.code, UploadedCode)
    assert sent.code.sha256 == hashlib.sha256(code).hexdigest()
    assert artifact(kafka, topics, sent.code) == code


def test_upload_when_another_comes_between_then_it_is_done_again(
    kafka: str, topics: Topics, connection: Connection
) -> None:
    class Disturbed:
        """Another client writes between the two chunks of the first attempt."""

        bootstrap, attempts = kafka, 0

        def send(self, topic: str, partition: int, records: list[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
            self.attempts += 1
            first = connection.send(topic, partition, records[:1])
            if self.attempts == 1:
                connection.send(topic, partition, [(b"other/0", b"other")])
            return first + connection.send(topic, partition, records[1:])

    code, disturbed = b"abc" * 400_000, Disturbed()
    uploaded = upload(disturbed, topics, code)  # type: ignore[arg-type]
    assert disturbed.attempts == 2
    assert artifact(kafka, topics, uploaded) == code


def test_logs_when_stored_and_followed_then_every_line_once(
    kafka: str, topics: Topics, connection: Connection
) -> None:
    job_id = new_job_id()
    partition = home_partition(job_id, PARTITIONS)

    def lines(of: str, *texts: str) -> tuple[bytes, bytes]:
        said = LogLines(job_id=of, lane="v1/0", taskmanager="tm", stream="stdout", lines=list(texts), at_ms=1)
        return of.encode(), said.model_dump_json().encode()

    connection.send(topics.logs, partition, [lines(job_id, "one"), lines("0" * 32, "other"), lines(job_id, "two")])
    with Connection(kafka, {}) as reading:
        logs = JobLogs(reading, topics.namespace, job_id)
        assert [line for message in logs.stored() for line in message.lines] == ["one", "two"]
        connection.send(topics.logs, partition, [lines(job_id, "three")])
        publish(kafka, topics, event("STATUS", JobStatus.FINISHED).model_copy(update={"job_id": job_id}))
        found: list[LogLines | JobEvent] = []
        deadline = time.monotonic() + 20
        for message in logs.follow():
            if message is not None:
                found.append(message)
            if len(found) == 2 or time.monotonic() > deadline:
                break
    assert {m.lines[0] if isinstance(m, LogLines) else str(m.status) for m in found} == {"three", "FINISHED"}


def taken(events: JobEvents, count: int) -> list[JobEvent]:
    found: list[JobEvent] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += events.take(0.5)
    return found


def artifact(kafka: str, topics: Topics, code: UploadedCode) -> bytes:
    """The bytes that a reader finds at the place a submission names."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "t", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topics.artifacts, code.partition, code.offset)])
    chunks: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(chunks) < code.chunks and time.monotonic() < deadline:
        for message in consumer.consume(code.chunks - len(chunks), timeout=1):
            assert message.key() == f"{code.sha256}/{len(chunks)}".encode()
            chunks.append(message.value() or b"")
    consumer.close()
    return b"".join(chunks)
