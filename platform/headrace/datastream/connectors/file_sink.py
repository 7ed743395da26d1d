"""Writing files: parts in buckets, each record in exactly one finished part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from headrace.common.call_site import wrong
from headrace.common.serialization import Encoder
from headrace.datastream.connectors.base import Sink
from headrace.datastream.connectors.file_source import whole_path
from headrace.graph.job_graph import OperatorKind

__all__ = ["BucketAssigner", "FileSink", "OutputFileConfig", "RollingPolicy", "RowFormatBuilder"]

#: Letters of Java's date formats, with Python's for the same; all others but signs are refused.
_LETTERS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_NAME = re.compile(r"[\w.=+-]{0,100}")


@dataclass(frozen=True)
class BucketAssigner:
    """Which folder below the base path a record goes to; make one with its methods."""

    strftime: str | None
    timezone: str = "UTC"

    @staticmethod
    def base_path_bucket_assigner() -> BucketAssigner:
        """The base path itself."""
        return BucketAssigner(None)

    @staticmethod
    def date_time_bucket_assigner(
        format_str: str = "yyyy-MM-dd--HH", timezone_id: str | None = None
    ) -> BucketAssigner:
        """A folder for the time of day at which the record is written; in UTC when no time zone is named.

        ``format_str`` has Java's letters: yyyy, MM, dd, HH, mm, ss and signs between them; a slash makes folders in
        folders.
        """
        pieces = re.findall(r"([A-Za-z])(\1*)|([^A-Za-z]+)", format_str) if isinstance(format_str, str) else []
        words = [first + more or signs for first, more, signs in pieces]
        bad = [word for word in words if word[0].isalpha() and word not in _LETTERS]
        signs = [word for word in words if not word[0].isalpha() and not re.fullmatch(r"[\w/ .,:=+-]*", word)]
        if not words or bad or signs or format_str.startswith("/") or ".." in format_str:
            raise wrong(
                f"date_time_bucket_assigner(): {format_str!r:.60} is no date format that is known here",
                hint="use yyyy, MM, dd, HH, mm and ss, with signs such as - and / between them",
            )
        try:
            ZoneInfo(timezone_id or "UTC")
        except (ValueError, KeyError, TypeError, OSError):
            raise wrong(f"date_time_bucket_assigner(): no time zone {timezone_id!r:.60}") from None
        return BucketAssigner("".join(_LETTERS.get(word, word) for word in words), timezone_id or "UTC")

    def params(self) -> dict[str, Any] | None:
        return None if self.strftime is None else {"strftime": self.strftime, "timezone": self.timezone}


@dataclass(frozen=True)
class RollingPolicy:
    """When a part is closed and becomes visible; make one with its methods."""

    part_bytes: int = 128 * 1024 * 1024
    rollover_ms: int = 60_000
    inactivity_ms: int = 60_000
    every_commit: bool = False

    @staticmethod
    def default_rolling_policy(
        part_size: int = 128 * 1024 * 1024, rollover_interval: int = 60_000, inactivity_interval: int = 60_000
    ) -> RollingPolicy:
        """At ``part_size`` bytes, ``rollover_interval`` ms after its first record, or ``inactivity_interval`` ms
        after its last one, whichever comes first; with the next commit then."""
        for name, value in (
            ("part_size", part_size),
            ("rollover_interval", rollover_interval),
            ("inactivity_interval", inactivity_interval),
        ):
            if type(value) is not int or value < 1:
                raise wrong(f"default_rolling_policy(): {name} must be a whole number from 1, not {value!r:.60}")
        return RollingPolicy(part_size, rollover_interval, inactivity_interval)

    @staticmethod
    def on_checkpoint_rolling_policy() -> RollingPolicy:
        """With every commit of the lane (``execution.commit-interval-ms``): results at once, in many small parts."""
        return RollingPolicy(every_commit=True)

    def params(self) -> dict[str, Any]:
        return {
            "part_bytes": self.part_bytes,
            "rollover_ms": self.rollover_ms,
            "inactivity_ms": self.inactivity_ms,
            "every_commit": self.every_commit,
        }


@dataclass(frozen=True)
class OutputFileConfig:
    """What names of parts begin and end with."""

    part_prefix: str = "part"
    part_suffix: str = ""

    @staticmethod
    def builder() -> OutputFileConfigBuilder:
        return OutputFileConfigBuilder()

    def get_part_prefix(self) -> str:
        return self.part_prefix

    def get_part_suffix(self) -> str:
        return self.part_suffix


class OutputFileConfigBuilder:
    """Collects prefix and suffix."""

    def __init__(self) -> None:
        self._prefix, self._suffix = "part", ""

    def with_part_prefix(self, prefix: str) -> OutputFileConfigBuilder:
        if not isinstance(prefix, str) or not prefix or prefix[0] in "._" or not _NAME.fullmatch(prefix):
            raise wrong(
                f"with_part_prefix(): a name cannot begin with {prefix!r:.60}",
                hint="use letters, digits and dashes; names with a dot or underscore in front are hidden",
            )
        self._prefix = prefix
        return self

    def with_part_suffix(self, suffix: str) -> OutputFileConfigBuilder:
        if not isinstance(suffix, str) or not _NAME.fullmatch(suffix):
            raise wrong(f"with_part_suffix(): a name cannot end with {suffix!r:.60}")
        self._suffix = suffix
        return self

    def build(self) -> OutputFileConfig:
        return OutputFileConfig(self._prefix, self._suffix)


class FileSink(Sink):
    """Records into files of a folder; make one with ``FileSink.for_row_format``.

    A part is written out of sight (in ``.in-progress`` below the base path) and appears under its final name when it
    is closed and the lane's commit stands: who reads the folder sees each record exactly once, whatever failed in
    between. Names are PREFIX-JOB-INCARNATION-OPERATOR-LANE-COMMIT SUFFIX. What was written when a job is
    cancelled, and not closed, stays out of sight; a job that finishes closes everything.

    The lanes write to the path themselves: every TaskManager must see the same folder there.
    """

    kind = OperatorKind.FILE_SINK

    def __init__(
        self, path: str, encoder: Encoder, assigner: BucketAssigner, policy: RollingPolicy, names: OutputFileConfig
    ) -> None:
        self._path = path
        self._encoder = encoder
        self._assigner = assigner
        self._policy = policy
        self._names = names

    @staticmethod
    def for_row_format(base_path: str, encoder: Encoder) -> RowFormatBuilder:
        """One record after the other, as the encoder writes it. A relative path is made absolute here."""
        if not isinstance(encoder, Encoder):
            raise wrong(
                f"for_row_format() takes an Encoder, such as Encoder.simple_string_encoder(), not {encoder!r:.80}"
            )
        path = whole_path("for_row_format()", base_path)
        if "://" in path:
            raise wrong(
                f"a FileSink cannot write to {path:.80}",
                hint="name a folder that every TaskManager can see; a part is renamed when it is finished",
            )
        return RowFormatBuilder(path, encoder)

    def describe(self) -> str:
        return self._path

    def params(self) -> dict[str, Any]:
        return {
            "path": self._path,
            "encoder": self._encoder.params(),
            "bucket": self._assigner.params(),
            "rolling": self._policy.params(),
            "prefix": self._names.part_prefix,
            "suffix": self._names.part_suffix,
        }

    def functions(self) -> dict[str, Any]:
        return {} if self._encoder.params() is not None else {"encode": self._encoder}


class RowFormatBuilder:
    """Collects the settings of a FileSink."""

    def __init__(self, path: str, encoder: Encoder) -> None:
        self._path = path
        self._encoder = encoder
        self._assigner = BucketAssigner.date_time_bucket_assigner()
        self._policy = RollingPolicy.default_rolling_policy()
        self._names = OutputFileConfig()

    def with_bucket_assigner(self, bucket_assigner: BucketAssigner) -> RowFormatBuilder:
        """Folders below the base path; one for each hour when nothing is said."""
        if not isinstance(bucket_assigner, BucketAssigner):
            raise wrong(f"with_bucket_assigner() takes a BucketAssigner, not {bucket_assigner!r:.80}")
        self._assigner = bucket_assigner
        return self

    def with_rolling_policy(self, rolling_policy: RollingPolicy) -> RowFormatBuilder:
        """When parts are closed; after 128 MB or a minute when nothing is said."""
        if not isinstance(rolling_policy, RollingPolicy):
            raise wrong(f"with_rolling_policy() takes a RollingPolicy, not {rolling_policy!r:.80}")
        self._policy = rolling_policy
        return self

    def with_output_file_config(self, output_file_config: OutputFileConfig) -> RowFormatBuilder:
        """What names of parts begin and end with."""
        if not isinstance(output_file_config, OutputFileConfig):
            hint = "call .build() on the builder" if hasattr(output_file_config, "build") else ""
            raise wrong(
                f"with_output_file_config() takes an OutputFileConfig, not {output_file_config!r:.80}", hint=hint
            )
        self._names = output_file_config
        return self

    def build(self) -> FileSink:
        return FileSink(self._path, self._encoder, self._assigner, self._policy, self._names)
