"""Reading files: lines of text, JSON lines, CSV; once, or as they come."""

from __future__ import annotations

import codecs
import os
from typing import Any

from headrace.common.call_site import wrong
from headrace.common.serialization import DeserializationSchema
from headrace.common.time import Duration
from headrace.common.typeinfo import TypeInformation, Types
from headrace.datastream.connectors.base import Source
from headrace.datastream.formats.json import JsonDeserializationSchema
from headrace.graph.job_graph import OperatorKind

__all__ = ["FileSource", "FileSourceBuilder", "StreamFormat"]


class StreamFormat:
    """How records stand in a file, one after the other; make one with its methods, or with ``CsvReaderFormat``.

    Files that end in .gz, .gzip, .bz2 or .xz are decompressed. A record that cannot be read fails the job: file and
    byte offset are named.
    """

    def __init__(self, params: dict[str, Any], produced: TypeInformation) -> None:
        self._params = params
        self._produced = produced

    @staticmethod
    def text_line_format(charset_name: str = "UTF-8") -> StreamFormat:
        """A str for each line, without its end. ``charset_name``: one in which a line ends with the byte 0x0A."""
        try:
            charset = codecs.lookup(charset_name).name
            fits = "\n".encode(charset) == b"\n"
        except (LookupError, TypeError):
            raise wrong(f"text_line_format(): Python knows no charset {charset_name!r:.60}") from None
        if not fits:
            raise wrong(
                f"text_line_format(): lines in {charset_name} do not end with the byte 0x0A", hint="use UTF-8"
            )
        return StreamFormat({"kind": "text", "charset": charset}, Types.STRING())

    @staticmethod
    def json_lines_format(schema: DeserializationSchema | None = None) -> StreamFormat:
        """A value for each line, read by a JSON schema (any JSON, when none is given). Not in PyFlink."""
        schema = schema or JsonDeserializationSchema()
        if not isinstance(schema, DeserializationSchema):
            hint = "call .build() on the builder" if hasattr(schema, "build") else ""
            raise wrong(f"json_lines_format() takes a JSON deserialization schema, not {schema!r:.80}", hint=hint)
        decoder = schema.format()
        if not str(decoder["kind"]).startswith("json"):
            raise wrong(f"json_lines_format() takes a JSON deserialization schema, not {schema!r:.80}")
        return StreamFormat({"kind": "json_lines", "decoder": decoder}, schema.produced_type())

    def params(self) -> dict[str, Any]:
        """The format as it stands in a JobGraph."""
        return dict(self._params)

    def produced_type(self) -> TypeInformation:
        return self._produced


class FileSource(Source):
    """Records of files; make one with ``FileSource.for_record_stream_format``.

    The lanes of the source read the paths themselves: every TaskManager must see the same files under them. A file
    belongs to one lane (by its name) and is read from its beginning to its end, one file of a lane after the other
    in the order of their names. Its position is a byte offset, so each record counts exactly once. The watermark
    waits for files that are known and not read yet.
    """

    kind = OperatorKind.FILE_SOURCE

    def __init__(
        self, stream_format: StreamFormat, paths: tuple[str, ...], discovery_interval_ms: int | None
    ) -> None:
        self._format = stream_format
        self._paths = paths
        self._discovery_interval_ms = discovery_interval_ms

    @staticmethod
    def for_record_stream_format(stream_format: StreamFormat, *paths: str) -> FileSourceBuilder:
        """Files of this format: files themselves, or folders with all that is in and below them.

        Names that begin with a dot or an underscore are left out. A relative path is made absolute here. URLs
        (``s3://bucket/folder``) are read by fsspec, which must be installed on the workers.
        """
        if not isinstance(stream_format, StreamFormat):
            raise wrong(
                "for_record_stream_format() takes a StreamFormat, such as StreamFormat.text_line_format(), not "
                f"{stream_format!r:.80}"
            )
        if not paths:
            raise wrong("a FileSource needs a path", code="connector-incomplete", hint="name a file or a folder")
        return FileSourceBuilder(stream_format, tuple(whole_path("for_record_stream_format()", p) for p in paths))

    def describe(self) -> str:
        return ", ".join(self._paths)

    def produced_type(self) -> TypeInformation:
        return self._format.produced_type()

    def params(self) -> dict[str, Any]:
        return {
            "paths": list(self._paths),
            "format": self._format.params(),
            "discovery_interval_ms": self._discovery_interval_ms,
        }


class FileSourceBuilder:
    """Collects the settings of a FileSource."""

    def __init__(self, stream_format: StreamFormat, paths: tuple[str, ...]) -> None:
        self._format = stream_format
        self._paths = paths
        self._discovery_interval_ms: int | None = None

    def monitor_continuously(self, discovery_interval: Duration) -> FileSourceBuilder:
        """Look for new files again and again; the source never ends.

        A file is read once, as it is when its lane comes to it: move finished files into the folder, do not write
        them there. Files may be deleted when they have been read; their names are remembered for ever.
        """
        if not isinstance(discovery_interval, Duration) or discovery_interval.to_milliseconds() <= 0:
            raise wrong(f"monitor_continuously() takes a Duration above 0, not {discovery_interval!r:.60}")
        self._discovery_interval_ms = discovery_interval.to_milliseconds()
        return self

    def process_static_file_set(self) -> FileSourceBuilder:
        """Read the files that there are when the job starts, then end; the default."""
        self._discovery_interval_ms = None
        return self

    def build(self) -> FileSource:
        return FileSource(self._format, self._paths, self._discovery_interval_ms)


def whole_path(where: str, path: str) -> str:
    """An absolute path, or a URL as it is; else the user's line is named."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str) or not path:
        raise wrong(f"{where} takes paths, not {path!r:.80}")
    path = path.removeprefix("file://")
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))
