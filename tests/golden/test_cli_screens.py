"""Screens of topics, doctor and top with fixed data, letter by letter, on a small and on a wide terminal."""

from __future__ import annotations

import msgspec
import pytest
from rich.console import RenderableType
from tests.golden.test_cli_text import FLIGHTS, GRAPH, METRICS, NOW_MS, TASKMANAGER, check, drawn
from tests.golden.test_job_graphs import graph_of

from headrace.graph.job_graph import JobGraph
from headrace.log.broker_facts import LogDir
from headrace.log.hanging_transactions import HangingTransaction, Verdict
from headrace.protocol.control import JobRecord, LaneMetrics, TaskManagerRecord
from headrace.protocol.data import LaneLogRecord, Packed, encode
from headrace.protocol.states import JobStatus
from headrace.rest.models import JobTopic, JobTopics, Role, TopicPartitionView
from headrace.runtime.operators.source_code import vertex_source
from streamctl import diagnosis
from streamctl.diagnosis import diagnosis_page
from streamctl.job_tables import code_page
from streamctl.json_schemas import Finding
from streamctl.kafka_topics import Kind, Partition, Topic
from streamctl.peek import Peeked
from streamctl.rest import JobDetail
from streamctl.top_sample import Look, Sampler
from streamctl.top_screen import top_page
from streamctl.topic_tables import job_topics_page, peek_table, topic_page, topics_table

WIDTHS = [80, 200]
JOB = FLIGHTS.job_id


def topic(name: str, kind: Kind, *offsets: tuple[int, int]) -> Topic:
    return Topic(name, kind, 1, [Partition(n, 1, first, end) for n, (first, end) in enumerate(offsets)])


FLIGHTS_TOPIC = topic("flights-of-all-carriers-since-2013", Kind.DATA, (0, 1_234_567), (100_000, 1_234_560))
TOPICS = [
    topic("__consumer_offsets", Kind.KAFKA, (0, 12)),
    FLIGHTS_TOPIC,
    topic("headrace.job-log", Kind.CONTROL, (0, 3), (0, 0)),
    topic(f"headrace.s.{JOB}.1.v1", Kind.LANE_LOG, (17, 900)),
    topic(f"headrace.x.{JOB}.1.e1", Kind.EXCHANGE, (0, 0)),
]
CONFIG = {"cleanup.policy": "delete", "retention.ms": "604800000", "segment.bytes": "134217728"}
USE = JobTopic(
    name=FLIGHTS_TOPIC.name,
    role=Role.SOURCE,
    of=["Source: flights"],
    group="flights",
    lag=4_560,
    partitions=[
        TopicPartitionView(partition=0, end_offset=1_234_567, read_to=1_234_567, lag=0),
        TopicPartitionView(partition=1, end_offset=1_234_560, read_to=1_230_000, lag=4_560),
    ],
)
JOB_TOPICS = JobTopics(
    job_id=JOB,
    topics=[
        USE,
        JobTopic(name="delays", role=Role.SINK, of=["Sink: delays"], group=None, lag=None, partitions=None),
        JobTopic(
            name=f"headrace.x.{JOB}.1.e1",
            role=Role.EXCHANGE,
            of=["e1"],
            group="g",
            lag=7,
            partitions=[TopicPartitionView(partition=0, end_offset=70, read_to=63, lag=7)],
        ),
    ],
)
RECORDS = [
    Peeked(
        0, 12, NOW_MS, b"UA", '{"carrier": "UA", "städte": ["Zürich", "Köln"], "delay": 12}'.encode(), [("t", b"1")]
    ),
    Peeked(0, 13, NOW_MS + 1_000, None, b"two\nlines\tand a tab", []),
    Peeked(1, 1_234_000, None, bytes(range(4)), bytes(range(200)), []),
    Peeked(1, 1_234_001, NOW_MS, b"gone", None, []),
]
PACKED = Packed(1, 2, 41, 40, 0, 2, 3, [(0, 5), (3, 1_700_000_000_000)], True, False, "msgpack", b"", b"x" * 90, b"")
LANE_LOG = LaneLogRecord(
    version=1, c=41, by="0.1:77:ab", positions={"flights/1": 1_230_000, "flights/0": 7}, stops={}, seen={}, sent={},
    split_watermarks={}, lane_watermarks={}, ended={}, idle={}, watermark=0, finished=True, snapshot_from=0, mark=2,
    part=0, parts=1, changes=[], chunk=[],
)  # fmt: skip


def fits(name: str, renderable: RenderableType, columns: int) -> None:
    text = drawn(renderable, columns)
    assert max(len(line) for line in text.splitlines()) <= columns
    check(f"{name}-{columns}.txt", text)


@pytest.mark.parametrize("columns", WIDTHS)
class TestTopics:
    def test_list(self, columns: int) -> None:
        fits("topics", topics_table([FLIGHTS_TOPIC], kinds=False, namespace="headrace", columns=columns), columns)

    def test_all(self, columns: int) -> None:
        fits("topics-all", topics_table(TOPICS, kinds=True, namespace="headrace", columns=columns), columns)

    def test_of_a_job(self, columns: int) -> None:
        fits("topics-job", job_topics_page(JOB_TOPICS, "headrace", columns), columns)

    def test_one(self, columns: int) -> None:
        fits("topic", topic_page(FLIGHTS_TOPIC, CONFIG, None), columns)

    def test_one_with_a_job(self, columns: int) -> None:
        fits("topic-job", topic_page(FLIGHTS_TOPIC, CONFIG, USE), columns)

    def test_peek(self, columns: int) -> None:
        fits("peek", peek_table(RECORDS, Kind.DATA), columns)

    def test_peek_between_lanes(self, columns: int) -> None:
        fits("peek-exchange", peek_table([Peeked(0, 7, NOW_MS, None, encode(PACKED), [])], Kind.EXCHANGE), columns)

    def test_peek_into_a_lane_log(self, columns: int) -> None:
        fits("peek-lane-log", peek_table([Peeked(0, 7, NOW_MS, None, encode(LANE_LOG), [])], Kind.LANE_LOG), columns)


def test_a_message_between_lanes_that_is_none_is_shown_as_bytes() -> None:
    broken = Peeked(0, 7, NOW_MS, None, msgspec.msgpack.encode([1, 2]), [])
    assert "0x920102" in drawn(peek_table([broken], Kind.EXCHANGE), 80)
    assert broken.json(Kind.EXCHANGE)["value_base64"] == "kgEC"


WELL = [
    diagnosis.fine("kafka", "127.0.0.1:9092 answers, 1 broker"),
    diagnosis.kafka_release({"broker 1": "4.2"}),
    diagnosis.hanging([]),
    *diagnosis.log_dirs("broker 1", [LogDir("/data", 100_000_000_000, 79_000_000_000, 0)]),
    *diagnosis.redis_server("8.2.3", {"maxmemory": "0", "appendonly": "yes", "appendfsync": "always"}),
    diagnosis.slots([TASKMANAGER]),
    diagnosis.clocks({"Kafka": 0.4, "Redis": -3}, {}),
    diagnosis.versions("0.1.0", "3.11.7", "0.1.0", [TASKMANAGER]),
]
HANGING = HangingTransaction("flights", 3, 4711, 12, "a/1/v1/0", Verdict.COMMIT)
SICK = [
    diagnosis.kafka_release({"broker 1": "4.2", "broker 2": "4.4"}),
    diagnosis.hanging([HANGING]),
    *diagnosis.redis_server("8.2.3", {"maxmemory": "100", "maxmemory-policy": "allkeys-lru", "appendonly": "no"}),
    diagnosis.slots([]),
    diagnosis.clocks({"Redis": 2_400}, {"TaskManager tm-1": -61_000}),
    diagnosis.versions("0.1.0", "3.12.1", "0.0.9", [TASKMANAGER]),
    diagnosis.disk("disk", "/var/lib/headrace", 400_000_000, "free some space"),
]


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize(("name", "findings", "ok"), [("well", WELL, True), ("sick", SICK, False)])
def test_doctor(name: str, findings: list[Finding], ok: bool, columns: int) -> None:
    report = diagnosis.diagnosis(findings)
    assert report.ok is ok
    fits(f"doctor-{name}", diagnosis_page(report), columns)


LATER_MS = NOW_MS + 2_000
WAITING = JobRecord(
    job_id="c" * 32,
    name="big one",
    status=JobStatus.CREATED,
    reason="waiting for 4 slots: 1 of 3 free",
    slots_needed=4,
)


def detail(record: JobRecord, graph: JobGraph | None, metrics: dict[str, LaneMetrics]) -> JobDetail:
    return JobDetail(record, graph, metrics)


def later(metrics: LaneMetrics) -> LaneMetrics:
    return metrics.model_copy(
        update={
            "at_ms": metrics.at_ms + 2_000,
            "commits": metrics.commits + 20,
            "records_out": metrics.records_out + 3_000,
            "watermark_ms": NOW_MS - 64_000,
        }
    )


def look(metrics: dict[str, LaneMetrics], *others: JobDetail, tm: TaskManagerRecord = TASKMANAGER) -> Look:
    return Look([detail(FLIGHTS, GRAPH, metrics), *others], {"FAILED": 1, "FINISHED": 12}, [tm])


@pytest.mark.parametrize("columns", WIDTHS)
def test_top(columns: int) -> None:
    sampler = Sampler()
    sampler.sample(look(METRICS), NOW_MS)
    then = {lane: later(each) for lane, each in METRICS.items()}
    sample = sampler.sample(look(then, detail(WAITING, None, {})), LATER_MS)
    first = sample.jobs[0]
    assert (first.out_per_s, first.commits_per_s, first.watermark_delay_ms) == (3_000, 20, 66_000)
    fits("top", top_page(sample, columns), columns)


@pytest.mark.parametrize("columns", WIDTHS)
def test_top_of_nothing_when_rest_is_away(columns: int) -> None:
    empty = Sampler().sample(Look([], {}, []), NOW_MS)
    fits("top-empty", top_page(empty, columns, "the Dispatcher's REST does not answer; trying again"), columns)


def test_rates_need_two_looks_at_one_attempt() -> None:
    sampler = Sampler()
    assert sampler.sample(look(METRICS), NOW_MS).jobs[0].out_per_s is None
    restarted = {lane: later(each).model_copy(update={"attempt": "0.9"}) for lane, each in METRICS.items()}
    assert sampler.sample(look(restarted), LATER_MS).jobs[0].commits_per_s is None


def test_show_plan_code() -> None:
    graph = graph_of("flights")
    sources = {vertex.id: vertex_source(graph, vertex.id).build() for vertex in graph.vertices}
    for source in sources.values():
        compile(source, "generated", "exec")
    fits("show-code", code_page(graph.vertices, sources), 200)
