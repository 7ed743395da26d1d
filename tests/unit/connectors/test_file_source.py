"""Files as a source: what is read, in which order, and what is said of files that are not as they should be."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from headrace.common import Duration, Row, SimpleStringSchema, Time, Types, WatermarkStrategy
from headrace.datastream import StreamExecutionEnvironment, TumblingEventTimeWindows
from headrace.datastream.connectors.file_system import FileSource, StreamFormat
from headrace.datastream.connectors.kafka import KafkaRecordSerializationSchema, KafkaSink
from headrace.datastream.execution import executor_installed
from headrace.datastream.formats.csv import CsvReaderFormat, CsvSchema
from headrace.datastream.formats.json import JsonRowDeserializationSchema, JsonSerializationSchema
from headrace.errors import UsageError
from headrace.runtime.failures import describe
from headrace.runtime.files import source as file_source
from headrace.runtime.operators.formats import UndecodableRecordError
from headrace.runtime.ports import UserCodeError
from headrace.testing.stepped import SteppedCluster, SteppedJob

TEXT = StreamFormat.text_line_format()


def start(cluster: SteppedCluster, source: FileSource, parallelism: int = 1) -> SteppedJob:
    cluster.topic("out")
    schema = (
        KafkaRecordSerializationSchema.builder()
        .set_topic("out")
        .set_value_serialization_schema(JsonSerializationSchema())
        .build()
    )
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)
    stream = env.from_source(source, WatermarkStrategy.no_watermarks(), "files")
    stream.sink_to(KafkaSink.builder().set_record_serializer(schema).build())
    with executor_installed(cluster):
        env.execute()
    return cluster.jobs[-1]


def records(format_: StreamFormat, *paths: Path) -> list[Any]:
    """All records, by one lane."""
    cluster = SteppedCluster()
    start(cluster, FileSource.for_record_stream_format(format_, *map(str, paths)).build()).run()
    return cluster.values("out")


# ---- which files


def test_a_folder_is_read_with_all_below_it_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/er/c.txt", ".hidden", "_work", "_temporary/d.txt", "deep/.e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{name} 1\n{name} 2\n")
    expected = [f"{name} {n}" for name in ("a.txt", "b.txt", "deep/er/c.txt") for n in (1, 2)]
    assert records(TEXT, tmp_path) == expected
    assert records(TEXT, tmp_path / "a.txt", tmp_path / "deep", tmp_path / "a.txt") == [*expected[:2], *expected[4:]]


def test_relative_paths_are_those_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.chdir(tmp_path)
    source = FileSource.for_record_stream_format(TEXT, "a.txt", f"file://{tmp_path}/b.txt").build()
    assert source.params()["paths"] == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_a_path_with_nothing_at_it_is_named_with_the_host(tmp_path: Path) -> None:
    with pytest.raises(UserCodeError, match=r"no such file or folder on host .*nowhere") as failed:
        records(TEXT, tmp_path / "nowhere")
    assert failed.value.operator == "Source: files"


@pytest.mark.parametrize("seed", range(5))
def test_every_line_once_whatever_fails(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "RECORDS_MAX", 7)
    expected = []
    for number in range(12):
        lines = [f"{number} {line}" for line in range(number * 9)]
        (tmp_path / f"{number}.txt").write_text("\n".join(lines))
        expected += lines
    cluster = SteppedCluster(seed, commit_faults=0.15)
    job = start(cluster, FileSource.for_record_stream_format(TEXT, str(tmp_path)).build(), 3)
    job.run(kill_share=0.05)
    assert Counter(cluster.values("out")) == Counter(expected)
    assert job.kills > 0


@pytest.mark.parametrize("seed", range(4))
def test_new_files_are_read_once_each(seed: int, tmp_path: Path) -> None:
    cluster = SteppedCluster(seed, commit_faults=0.1)
    watching = FileSource.for_record_stream_format(TEXT, str(tmp_path)).monitor_continuously(Duration.of_millis(200))
    job = start(cluster, watching.build(), 2)
    expected: list[str] = []
    for number in range(8):
        hidden = tmp_path / f".{number}.tmp"
        hidden.write_text("".join(f"{number} {line}\n" for line in range(20)))
        hidden.rename(tmp_path / f"{number}.txt")
        expected += [f"{number} {line}" for line in range(20)]
        job.run(lambda: len(cluster.values("out")) == len(expected), kill_share=0.02)  # noqa: B023
        (tmp_path / f"{number}.txt").unlink()
    assert Counter(cluster.values("out")) == Counter(expected)
    assert not job.finished()


def test_a_file_that_is_deleted_before_it_is_read_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("a\n")
    cluster = SteppedCluster()
    watching = FileSource.for_record_stream_format(TEXT, str(tmp_path)).monitor_continuously(Duration.of_millis(200))
    job = start(cluster, watching.build())
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_text("b\n")
    job.run(lambda: cluster.values("out"))
    assert cluster.values("out") == ["b"]
    assert "was deleted before anything of it was read" in caplog.text


def test_files_that_wait_hold_the_watermark_so_that_nothing_of_them_is_late(tmp_path: Path) -> None:
    """Two files over the same hour, read one after the other."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"{name} {minute * 60_000}\n" for minute in range(60)))
    cluster = SteppedCluster()
    env = StreamExecutionEnvironment.get_execution_environment()
    times = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(
        lambda line, _: int(line.split()[1])
    )
    (
        env.from_source(FileSource.for_record_stream_format(TEXT, str(tmp_path)).build(), times, "files")
        .map(lambda line: 1)
        .key_by(lambda one: "all")
        .window(TumblingEventTimeWindows.of(Time.minutes(20)))
        .reduce(lambda a, b: a + b)
        .print()
    )
    with executor_installed(cluster):
        env.execute()
    cluster.jobs[-1].run()
    assert cluster.printed == ["40", "40", "40"]


# ---- text


def test_lines_end_with_either_sign_and_the_last_with_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("one\r\n\r\ntwo\r\r\nthrée\n\nend".encode())
    assert records(TEXT, tmp_path) == ["one", "", "two\r", "thrée", "", "end"]


def test_other_charsets(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("grün\n".encode("latin-1"))
    assert records(StreamFormat.text_line_format("ISO-8859-1"), tmp_path) == ["grün"]


def test_bytes_that_are_no_text_are_named_by_file_and_offset(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"fine\nalso\nb\xff\xfed\nfine\n")
    with pytest.raises(
        UndecodableRecordError, match=r"/a offset 10: .*invalid start byte.*b'b\\xff\\xfed'"
    ) as failed:
        records(TEXT, tmp_path)
    assert not describe(failed.value).retryable


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed_files(
    suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_source, "RECORDS_MAX", 50)
    expected = [f"line {n}" for n in range(1_000)]
    (tmp_path / f"a{suffix}").write_bytes(compress("\n".join(expected).encode()))
    cluster = SteppedCluster(3, commit_faults=0.1)
    start(cluster, FileSource.for_record_stream_format(TEXT, str(tmp_path)).build()).run(kill_share=0.05)
    assert cluster.values("out") == expected


def test_a_broken_compressed_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x\n" * 10_000)[:-20])
    with pytest.raises(UserCodeError, match=r"a\.gz: Compressed file ended"):
        records(TEXT, tmp_path)


def test_a_file_that_became_shorter_is_not_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "RECORDS_MAX", 10)
    file = tmp_path / "a"
    file.write_text("".join(f"{n}\n" for n in range(5_000)))
    cluster = SteppedCluster()
    job = start(cluster, FileSource.for_record_stream_format(TEXT, str(file)).build())
    job.run(lambda: len(cluster.values("out")) >= 50)
    file.write_text("other\n")
    job.kill("v1/0")
    with pytest.raises(UndecodableRecordError, match="the file ends before offset"):
        job.run()


# ---- JSON lines


def test_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"n": 1}\n\n[2]\r\n"three"')
    assert records(StreamFormat.json_lines_format(), tmp_path) == [{"n": 1}, [2], "three"]


def test_json_lines_as_rows(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"n": 1, "more": true}\n{"n": 2}\n')
    schema = JsonRowDeserializationSchema.builder().type_info(Types.ROW_NAMED(["n"], [Types.INT()])).build()
    assert records(StreamFormat.json_lines_format(schema), tmp_path) == [{"n": 1}, {"n": 2}]


def test_a_line_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_text('{"n": 1}\n{"n":\n')
    with pytest.raises(UndecodableRecordError, match="offset 9: .*truncated"):
        records(StreamFormat.json_lines_format(), tmp_path)


# ---- CSV


def csv_records(text: str, schema: CsvSchema, tmp_path: Path, *, tolerant: bool = False) -> list[Any]:
    (tmp_path / "a.csv").write_text(text, newline="")
    format_ = CsvReaderFormat.for_schema(schema)
    return records(format_.with_ignore_parse_errors() if tolerant else format_, tmp_path / "a.csv")


PEOPLE = CsvSchema.builder().add_string_column("name").add_number_column("age").build()


def test_csv_columns_have_their_types(tmp_path: Path) -> None:
    schema = (
        CsvSchema.builder()
        .add_string_column("s")
        .add_number_column("n")
        .add_number_column("f", Types.DOUBLE())
        .add_boolean_column("b")
        .add_array_column("a", ";", Types.INT())
        .set_null_value("NA")
        .build()
    )
    assert csv_records('x,1,1.5,TRUE,1;2\n"",,,,\nNA,NA,NA,NA,NA\n', schema, tmp_path) == [
        {"s": "x", "n": 1, "f": 1.5, "b": True, "a": [1, 2]},
        {"s": "", "n": None, "f": None, "b": None, "a": []},
        dict.fromkeys("snfba"),
    ]


def test_csv_rows_are_rows_with_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,1.10\n")
    schema = CsvSchema.builder().add_string_column("s").add_number_column("d", Types.BIG_DEC()).build()
    source = file_source.PolledFiles.of(
        FileSource.for_record_stream_format(CsvReaderFormat.for_schema(schema), str(tmp_path)).build().params()
    )
    (split,) = source.splits(1)
    batch = source.open(split, None).next_batch(0)
    assert batch is not None
    assert list(batch.records) == [Row(s="x", d=Decimal("1.10"))]


def test_csv_text_in_quotes_may_hold_anything(tmp_path: Path) -> None:
    assert csv_records('"a, ""b""\nc\r\nd",1\r\n\r\ne,2', PEOPLE, tmp_path) == [
        {"name": 'a, "b"\nc\r\nd', "age": 1},
        {"name": "e", "age": 2},
    ]


def test_csv_header_finds_columns_by_name(tmp_path: Path) -> None:
    schema = CsvSchema.builder().add_columns_from(PEOPLE).set_use_header().set_skip_first_data_row().build()
    text = "age,city,name\n0,units,none\n7,Rome,Ann\n8,Oslo,Bob\n"
    assert csv_records(text, schema, tmp_path) == [{"name": "Ann", "age": 7}, {"name": "Bob", "age": 8}]
    assert csv_records("", schema, tmp_path) == []


def test_csv_header_without_a_column(tmp_path: Path) -> None:
    schema = CsvSchema.builder().add_columns_from(PEOPLE).set_use_header().build()
    with pytest.raises(UndecodableRecordError, match="the header has no column age; it is name, years"):
        csv_records("name,years\nAnn,7\n", schema, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_csv_is_read_on_anywhere(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Header, quoted line ends, comments and kills together."""
    monkeypatch.setattr(file_source, "RECORDS_MAX", 3)
    text = "age,name\nskipped,skipped\n" + "".join(f'{n},"{n}\n#{n}"\n\n#,"comment {n}\n' for n in range(120))
    (tmp_path / "a.csv").write_text(text)
    builder = CsvSchema.builder().add_columns_from(PEOPLE).set_use_header().set_skip_first_data_row()
    format_ = CsvReaderFormat.for_schema(builder.set_allow_comments().build())
    cluster = SteppedCluster(seed, commit_faults=0.2)
    job = start(cluster, FileSource.for_record_stream_format(format_, str(tmp_path)).build())
    job.run(kill_share=0.1)
    assert cluster.values("out") == [{"name": f"{n}\n#{n}", "age": n} for n in range(120)]
    assert job.kills > 0


def test_csv_of_another_form(tmp_path: Path) -> None:
    builder = CsvSchema.builder().add_columns_from(PEOPLE).set_column_separator("\t").set_quote_char("'")
    assert csv_records("'a\tb'\t1\n", builder.build(), tmp_path) == [{"name": "a\tb", "age": 1}]
    bare = CsvSchema.builder().add_columns_from(PEOPLE).disable_quote_char().set_escape_char("\\").build()
    assert csv_records('"a\\,b",1\n', bare, tmp_path) == [{"name": '"a,b"', "age": 1}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,1\nb,x\n", "offset 4: column age: 'x' is not of its type"),
        ("a,1\nb\n", r"offset 4: 1 values for 2 columns: \['b'\]"),
        ("a,1\nb,2,3\n", "offset 4: 3 values for 2 columns"),
        ('a,1\n"b,2\nc,3\n', "offset 4: unexpected end of data"),
        ("a,1\nb,1_000\n", "offset 4: column age: '1_000'"),
    ],
)
def test_csv_rows_that_cannot_be_read(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UndecodableRecordError, match=said):
        csv_records(text, PEOPLE, tmp_path)


def test_csv_rows_that_cannot_be_read_are_left_out_when_told(tmp_path: Path) -> None:
    text = 'a,1\nb,x\nc\n"d"d,4\ne,5\n\n"f,6\n'
    found = csv_records(text, PEOPLE, tmp_path, tolerant=True)
    assert [each["name"] for each in found] == ["a", "e"]


# ---- what a program may write


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: StreamFormat.text_line_format("UTF-16"), "do not end with the byte 0x0A"),
        (lambda: StreamFormat.text_line_format("klingon"), "knows no charset 'klingon'"),
        (lambda: StreamFormat.json_lines_format(SimpleStringSchema()), "takes a JSON deserialization schema"),
        (lambda: FileSource.for_record_stream_format(TEXT), "needs a path"),
        (lambda: FileSource.for_record_stream_format("a.txt"), "takes a StreamFormat"),  # type: ignore[arg-type]
        (lambda: FileSource.for_record_stream_format(TEXT, ""), "takes paths"),
        (
            lambda: FileSource.for_record_stream_format(TEXT, "a").monitor_continuously(Duration.of_millis(0)),
            "a Duration above 0",
        ),
        (lambda: CsvSchema.builder().build(), "a CsvSchema needs columns"),
        (lambda: CsvSchema.builder().add_number_column("n", Types.STRING()), "takes one of Types.BYTE"),
        (lambda: CsvSchema.builder().add_string_column("n").add_boolean_column("n"), "a column 'n' already"),
        (lambda: CsvSchema.builder().set_column_separator("||"), "takes one letter"),
        (lambda: CsvReaderFormat.for_schema(CsvSchema.builder()), "takes a CsvSchema"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_work_is_refused_where_it_is_written(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        wrong()
    assert "test_file_source.py:" in refused.value.message


def test_params_are_json() -> None:
    source = FileSource.for_record_stream_format(CsvReaderFormat.for_schema(PEOPLE), "s3://bucket/folder").build()
    assert source.params()["paths"] == ["s3://bucket/folder"]
    assert json.loads(json.dumps(source.params())) == source.params()


def test_urls_need_fsspec_on_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    cluster = SteppedCluster()
    with pytest.raises(UserCodeError, match="fsspec, which is not installed on host"):
        start(cluster, FileSource.for_record_stream_format(TEXT, "memory://bucket").build()).run()


def test_urls_are_read_by_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(file_source, "RECORDS_MAX", 5)
    fs = fsspec.filesystem("memory")
    for name in ("b.txt", "a.txt", ".hidden"):
        fs.pipe(f"/in/{name}", "".join(f"{name} {n}\n" for n in range(12)).encode())
    cluster = SteppedCluster(1, commit_faults=0.1)
    start(cluster, FileSource.for_record_stream_format(TEXT, "memory://in").build()).run(kill_share=0.1)
    assert cluster.values("out") == [f"{name} {n}" for name in ("a.txt", "b.txt") for n in range(12)]
