"""Requests to a cluster through Kafka alone: submit, cancel, and what became of a job.

A request is one record on ``<ns>.jobs``; its answer is the event with the same request id on
``<ns>.job-events``. The end of that topic is looked up before the request is sent, so the answer cannot be
missed. Lifecycle is pure; JobsClient and JobEvents talk to Kafka.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError
from tenacity import Retrying, retry_if_result, stop_after_attempt

from headrace import clock
from headrace.errors import UnavailableError, UsageError
from headrace.protocol.control import Failure, JobEvent, LogLines
from headrace.protocol.states import JobStatus
from headrace.protocol.submission import SUBMISSION_BYTES_MAX, Cancel, InlineCode, Submit, UploadedCode
from headrace.protocol.topics import Topics, home_partition
from streamctl.kafka import Connection

ANSWER_S = 10.0
CHUNK_BYTES = 900_000
UPLOAD_ATTEMPTS = 5
#: How long a watched job's broker may stay away before the watch gives up.
BROKER_AWAY_S = 120.0

_log = logging.getLogger("streamctl")


@dataclass(frozen=True)
class Lifecycle:
    """What the events so far say about a job. Events of an older JobMaster change nothing."""

    status: JobStatus | None = None
    reason: str = ""
    failure: Failure | None = None
    epoch: int = -1

    def after(self, event: JobEvent) -> Lifecycle:
        """The lifecycle once ``event`` is known."""
        if event.epoch < self.epoch or (self.status is not None and self.status.ended):
            return self
        if event.type == "WAITING":
            return Lifecycle(self.status, event.reason, self.failure, event.epoch)
        if event.status is not None and event.type in ("STATUS", "ACKNOWLEDGED"):
            return Lifecycle(event.status, event.reason, event.failure, event.epoch)
        return self


class JobEvents:
    """Events of one job, in order, from a known offset on. It owns its connection: ``close`` it."""

    def __init__(self, connection: Connection, topics: Topics, job_id: str, start: int | None = None) -> None:
        self.connection = connection
        self._topics = topics
        self._job_id = job_id
        self.start = start  #: offset of the first
        self._waiting: deque[JobEvent] = deque()
        self._away_since: float | None = None

    def close(self) -> None:
        self.connection.close()

    def push_back(self, events: list[JobEvent]) -> None:
        """Give events back, in order, to be taken again first."""
        self._waiting.extendleft(reversed(events))

    def take(self, timeout_s: float) -> list[JobEvent]:
        """The events that came, maybe none, after at most about ``timeout_s``.

        Raises UnavailableError when the broker has been away for BROKER_AWAY_S; the job is not touched by
        that.
        """
        if self._waiting:
            events = list(self._waiting)
            self._waiting.clear()
            return events
        records = self.connection.poll(timeout_s)
        if not records:
            self._check_broker()
        events = []
        for record in records:
            event = parse_event(record.value)
            if event is not None and event.job_id == self._job_id:
                events.append(event)
        return events

    def _check_broker(self) -> None:
        if not self.connection.down or self.connection.answers():
            self._away_since = None
            return
        now = clock.monotonic_s()
        self._away_since = self._away_since or now
        if now - self._away_since > BROKER_AWAY_S:
            raise UnavailableError(
                "kafka-unreachable",
                f"Kafka at {self.connection.bootstrap} has not answered for {BROKER_AWAY_S:.0f} s",
                hint="the job is not affected by this; look again with `streamctl show`",
            )

    @property
    def broker_away(self) -> bool:
        return self._away_since is not None


class JobsClient:
    """Sends requests to the Dispatchers of one namespace. ``connect`` opens a fresh connection."""

    def __init__(self, connect: Callable[[], Connection], namespace: str) -> None:
        self._connect = connect
        self._topics = Topics(namespace)

    @property
    def topics(self) -> Topics:
        return self._topics

    def submit(
        self, submit: Submit, code: bytes | None, *, dependencies: bytes = b"", again: bool = False
    ) -> tuple[JobEvent, JobEvents]:
        """Submit a job with its code bundle and the archive of its dependencies.

        Gives the acknowledgement, and the job's events, that one among them.
        Repeating the same submission is safe. ``again`` says that the id may have been used before: then the
        events begin with the oldest that Kafka keeps, so that they tell where the job stands. Raises UsageError
        when it was refused, UnavailableError when Kafka or every Dispatcher is silent.
        """
        connection = self._connect()
        try:
            self._require_topics(connection)
            submit = attach_code(submit, code, lambda data: upload(connection, self._topics, data))
            if dependencies:
                archive = upload(connection, self._topics, dependencies)
                submit = submit.model_copy(update={"dependencies": archive})
            body = submit.model_dump_json().encode()
            if len(body) > SUBMISSION_BYTES_MAX:
                raise UsageError(
                    "submission-too-large",
                    f"the job graph takes {len(body):,} bytes; {SUBMISSION_BYTES_MAX:,} fit",
                    hint="make fewer operators, or shorter names and options",
                )
            events = self._open(connection, submit.job_id, from_oldest=again)
            answer = self._request(
                connection,
                events,
                submit.job_id,
                submit.request_id,
                body,
                again=f"submitting again is safe (with --job-id {submit.job_id})",
            )
        except BaseException:
            connection.close()
            raise
        if answer.type == "ACKNOWLEDGED":
            return answer, events
        events.close()
        raise UsageError(
            answer.code or "submission-rejected",
            answer.reason or "the Dispatcher rejected the submission",
            hint="" if answer.code else "nothing was started",
        )

    def watch(self, job_id: str, start: int | None) -> JobEvents:
        """A job's events from an offset on, None: all that Kafka keeps; over a connection of their own."""
        connection = self._connect()
        try:
            partition = self._partition(connection, self._topics.job_events, job_id)
            connection.assign([(self._topics.job_events, partition, start)])
        except BaseException:
            connection.close()
            raise
        return JobEvents(connection, self._topics, job_id, start)

    def lifecycle(self, job_id: str, start: int | None) -> Lifecycle:
        """Where the job stands, from the events between an offset and now."""
        with self._connect() as connection:
            partition = self._partition(connection, self._topics.job_events, job_id)
            _, end = connection.offsets(self._topics.job_events, partition)
            lifecycle = Lifecycle()
            for value in read_to(connection, self._topics.job_events, partition, end, start or 0):
                event = parse_event(value)
                if event is not None and event.job_id == job_id:
                    lifecycle = lifecycle.after(event)
            return lifecycle

    def cancel(self, job_id: str, request_id: str) -> tuple[JobEvent, JobEvents]:
        """Ask for a job's end; the answer, and the job's events from the request on, the answer among them.

        Raises UsageError when it was refused (the job has ended, or is not known).
        """
        connection = self._connect()
        try:
            self._require_topics(connection)
            events = self._open(connection, job_id, from_oldest=False)
            body = Cancel(type="cancel", request_id=request_id, job_id=job_id).model_dump_json().encode()
            answer = self._request(connection, events, job_id, request_id, body, again="asking again is safe")
        except BaseException:
            connection.close()
            raise
        if answer.type in ("DONE", "ACKNOWLEDGED"):
            return answer, events
        events.close()
        raise UsageError(answer.code or "cancel-refused", answer.reason or f"job {job_id} cannot be cancelled")

    def _require_topics(self, connection: Connection) -> None:
        if connection.partitions(self._topics.jobs) is None:
            raise no_dispatcher(self._topics, connection.bootstrap)

    def _partition(self, connection: Connection, topic: str, job_id: str) -> int:
        count = connection.partitions(topic)
        if count is None:
            raise no_dispatcher(self._topics, connection.bootstrap)
        return home_partition(job_id, count)

    def _open(self, connection: Connection, job_id: str, *, from_oldest: bool) -> JobEvents:
        topic = self._topics.job_events
        partition = self._partition(connection, topic, job_id)
        _, end = connection.offsets(topic, partition)
        start = None if from_oldest else end
        connection.assign([(topic, partition, start)])
        return JobEvents(connection, self._topics, job_id, start)

    def _request(
        self, connection: Connection, events: JobEvents, job_id: str, request_id: str, body: bytes, *, again: str
    ) -> JobEvent:
        connection.send(self._topics.jobs, None, [(job_id.encode(), body)])
        deadline = clock.monotonic_s() + ANSWER_S
        seen: list[JobEvent] = []
        while (left := deadline - clock.monotonic_s()) > 0:
            seen += events.take(min(left, 0.5))
            for event in seen:
                if event.request_id == request_id and event.type != "STATUS":
                    events.push_back(seen)
                    return event
        raise UnavailableError(
            "no-dispatcher-answer",
            f"the request is in Kafka, but no Dispatcher answered within {ANSWER_S:.0f} s",
            hint=f"{again}; is a Dispatcher running?",
        )


class JobLogs:
    """Lines that a job's tasks printed, from ``<ns>.logs``, and the job's events beside them."""

    def __init__(self, connection: Connection, namespace: str, job_id: str) -> None:
        self._connection = connection
        self._topics = Topics(namespace)
        self._job_id = job_id
        counts = {t: connection.partitions(t) for t in (self._topics.logs, self._topics.job_events)}
        if None in counts.values():
            raise no_dispatcher(self._topics, connection.bootstrap)
        self._end: int | None = None
        self._places = {t: home_partition(job_id, count or 1) for t, count in counts.items()}

    def stored(self) -> Iterator[LogLines]:
        """All that Kafka keeps now (one day, 64 MB a partition)."""
        partition = self._places[self._topics.logs]
        _, self._end = self._connection.offsets(self._topics.logs, partition)
        for value in read_to(self._connection, self._topics.logs, partition, self._end):
            lines = parse_lines(value)
            if lines is not None and lines.job_id == self._job_id:
                yield lines

    def follow(self) -> Iterator[LogLines | JobEvent | None]:
        """What comes after ``stored``, and every event of the job; None when nothing came for a while."""
        starts = {self._topics.logs: self._end, self._topics.job_events: None}
        self._connection.assign([(topic, p, starts[topic]) for topic, p in self._places.items()])
        while True:
            records = self._connection.poll(0.5)
            if not records:
                yield None
            for record in records:
                parsed = (parse_lines if record.topic == self._topics.logs else parse_event)(record.value)
                if parsed is not None and parsed.job_id == self._job_id:
                    yield parsed


def attach_code(submit: Submit, code: bytes | None, upload_: Callable[[bytes], UploadedCode]) -> Submit:
    """The submission with its code: inline when all fits one message, else uploaded first."""
    if not code:
        return submit
    sha256 = hashlib.sha256(code).hexdigest()
    if len(code) * 4 // 3 < SUBMISSION_BYTES_MAX:
        inline = InlineCode(sha256=sha256, data=base64.b64encode(code).decode())
        whole = submit.model_copy(update={"code": inline})
        if len(whole.model_dump_json().encode()) <= SUBMISSION_BYTES_MAX:
            return whole
    return submit.model_copy(update={"code": upload_(code)})


def upload(connection: Connection, topics: Topics, code: bytes) -> UploadedCode:
    """Write a package to ``<ns>.artifacts`` in chunks at consecutive offsets.

    Another client may write in between; then the upload is done again, UPLOAD_ATTEMPTS times at most.
    """
    sha256 = hashlib.sha256(code).hexdigest()
    chunks = [code[i : i + CHUNK_BYTES] for i in range(0, len(code), CHUNK_BYTES)]
    records = [(f"{sha256}/{n}".encode(), chunk) for n, chunk in enumerate(chunks)]

    def attempt() -> UploadedCode | None:
        offsets = [offset for _, offset in connection.send(topics.artifacts, 0, records)]
        if offsets != list(range(offsets[0], offsets[0] + len(offsets))):
            return None
        return UploadedCode(sha256=sha256, partition=0, offset=offsets[0], chunks=len(chunks))

    retrying = Retrying(
        stop=stop_after_attempt(UPLOAD_ATTEMPTS),
        retry=retry_if_result(lambda uploaded: uploaded is None),
        retry_error_callback=lambda _: None,
    )
    uploaded = retrying(attempt)
    if uploaded is None:
        raise UnavailableError(
            "upload-disturbed",
            f"other uploads came between the chunks of this one {UPLOAD_ATTEMPTS} times",
            hint="try again in a moment",
        )
    return uploaded


def read_to(connection: Connection, topic: str, partition: int, end: int, start: int = 0) -> Iterator[bytes]:
    """Every record of a partition that still exists from offset ``start`` to below ``end``."""
    low, _ = connection.offsets(topic, partition)
    low = max(low, start)
    if low >= end:
        return
    connection.assign([(topic, partition, low)])
    heard_s = clock.monotonic_s()
    while True:
        records = connection.poll(0.5)
        if records:
            heard_s = clock.monotonic_s()
        elif clock.monotonic_s() - heard_s > ANSWER_S:
            raise UnavailableError("kafka-unreachable", f"Kafka at {connection.bootstrap} stopped answering")
        for record in records:
            if record.offset < end:
                yield record.value
            if record.offset >= end - 1:
                return


def parse_event(value: bytes) -> JobEvent | None:
    """A job event, None when the record is of a kind this version does not know."""
    try:
        return JobEvent.model_validate_json(value)
    except ValidationError:
        return None


def parse_lines(value: bytes) -> LogLines | None:
    try:
        return LogLines.model_validate_json(value)
    except ValidationError:
        return None


def no_dispatcher(topics: Topics, bootstrap: str) -> UnavailableError:
    return UnavailableError(
        "no-dispatcher",
        f"Kafka at {bootstrap} has no topic {topics.jobs}: no Dispatcher of namespace "
        f"{topics.namespace!r} has run there",
        hint="start one with `streamctl up` or `streamctl dispatcher`, or name another --namespace",
    )
