"""StreamExecutionEnvironment: where a program begins and ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.common.call_site import called_by_script, wrong
from headrace.common.configuration import Configuration
from headrace.common.job_client import JobClient
from headrace.common.job_execution_result import JobExecutionResult
from headrace.common.typeinfo import TypeInformation
from headrace.common.unused_settings import unused
from headrace.common.watermark_strategy import WatermarkStrategy
from headrace.datastream import options
from headrace.datastream.connectors.base import Source
from headrace.datastream.data_stream import DataStream
from headrace.datastream.environment_settings import EnvironmentSettings
from headrace.datastream.execution import active_executor, check_kafka, collected, installed
from headrace.datastream.execution_mode import RuntimeExecutionMode
from headrace.datastream.execution_plan import plan_of
from headrace.datastream.options import FILES, REQUIREMENTS
from headrace.datastream.program import Program, program_of, refuse_missing_uids
from headrace.datastream.transformation import Link, Transformation
from headrace.graph.job_graph import OperatorKind

if TYPE_CHECKING:
    from headrace.datastream.collecting import ResultSource
    from headrace.datastream.dependencies import Dependencies

__all__ = ["StreamExecutionEnvironment"]

#: Environments of a script that are looked at when it ends.
ENVIRONMENTS_MINDED_MAX = 100
_made: list[StreamExecutionEnvironment] = []


class StreamExecutionEnvironment(EnvironmentSettings):
    """Collects a program's operators, and executes them as one job.

    After ``execute`` it is empty again and can take another program. One thread at a time.
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        super().__init__()
        self._options = Configuration()
        self._chaining = True
        self._transformations: list[Transformation] = []
        self._executed = False
        if (host := installed()) is not None:
            self.configure(Configuration(host.options))
            if host.parallelism is not None:
                self.set_parallelism(host.parallelism)
        if configuration is not None:
            self.configure(configuration)

    @staticmethod
    def get_execution_environment(configuration: Configuration | None = None) -> StreamExecutionEnvironment:
        """A new environment. Defaults come from what runs the script, such as ``streamctl submit -p 4``."""
        environment = StreamExecutionEnvironment(configuration)
        if installed() is None and called_by_script():
            _mind_the_script(environment)
        return environment

    # ---- settings

    def configure(self, configuration: Configuration) -> None:
        """Set options by name (``headrace.datastream.options``); an option set before is replaced."""
        if not isinstance(configuration, Configuration):
            raise wrong(f"configure() takes a Configuration, not {configuration!r:.80}")
        options.checked(configuration)
        parallelism = options.number(configuration, options.PARALLELISM)
        if parallelism is not None:
            self.set_parallelism(parallelism)
        self._chaining = options.switch(configuration, options.CHAINING, self._chaining)
        self._options.add_all(configuration)
        if configuration.contains_key(FILES) or configuration.contains_key(REQUIREMENTS):
            self._dependencies().make_importable()

    def set_runtime_mode(self, execution_mode: RuntimeExecutionMode) -> StreamExecutionEnvironment:
        """Whether keyed reductions give each result or the last of each key; see RuntimeExecutionMode."""
        if not isinstance(execution_mode, RuntimeExecutionMode):
            raise wrong(f"set_runtime_mode() takes a RuntimeExecutionMode, not {execution_mode!r:.60}")
        self._options.set_string(options.RUNTIME_MODE, execution_mode.value)
        return self

    def disable_operator_chaining(self) -> StreamExecutionEnvironment:
        """Give each operator a vertex of its own, with exchanges between; for finding slow ones."""
        self._chaining = False
        return self

    def is_chaining_enabled(self) -> bool:
        return self._chaining

    # ---- what goes along

    def add_python_file(self, file_path: str) -> None:
        """Send a .py file, a folder, or a .zip, .whl or .egg file along; functions can import what is in it.

        It goes on sys.path, here at once and in the job's workers: a .py file and a package by their names, of
        other folders and of zip files what they contain. In workers they are files, so data beside the modules can
        be read. Raises UsageError (dependency-missing, dependency-invalid).
        """
        before = self._options.get_string(FILES)
        self._options.set_string(FILES, ",".join([*filter(None, [before]), str(file_path)]))
        self._dependencies().make_importable()

    def set_python_requirements(self, requirements_file_path: str, requirements_cache_dir: str | None = None) -> None:
        """Give the job's workers the packages of a requirements.txt, in a virtual environment of their own.

        With ``requirements_cache_dir``, a folder of wheels, they are installed from there and from nowhere else.
        In-process runs use this interpreter as it is, and say what it lacks. Raises UsageError
        (dependency-missing, dependency-invalid, requirements-invalid).
        """
        folder = f"#{requirements_cache_dir}" if requirements_cache_dir is not None else ""
        self._options.set_string(REQUIREMENTS, f"{requirements_file_path}{folder}")
        self._dependencies().asked()

    def set_python_executable(self, python_exec: str) -> None:
        """Kept: workers run the Python of their TaskManager, or that of the job's virtual environment."""
        unused("set_python_executable()", "workers run their TaskManager's Python; see set_python_requirements()")
        self._python_executable = python_exec

    def add_python_archive(self, archive_path: str, target_dir: str | None = None) -> None:
        """Not here: refused with what to use instead."""
        raise wrong(
            "add_python_archive() is not there: archives are not unpacked beside the workers",
            hint="packages come by set_python_requirements(), modules and data files by add_python_file()",
        )

    def _dependencies(self) -> Dependencies:
        from headrace.datastream.dependencies import Dependencies  # here: slot workers have no use for it

        return Dependencies.of(self._options)

    # ---- sources

    def from_collection(self, collection: Iterable[Any], type_info: TypeInformation | None = None) -> DataStream:
        """The items, in order, from one lane; then the end. They travel in the job's code, so keep them few."""
        if isinstance(collection, (str, bytes)) or not isinstance(collection, Iterable):
            raise wrong(f"from_collection() takes a list or another iterable, not {collection!r:.80}")
        items = list(collection)
        if type_info is not None:
            if not isinstance(type_info, TypeInformation):
                raise wrong(f"a declared type must come from Types, such as Types.STRING(), not {type_info!r:.80}")
            try:
                items = [type_info.convert(item) for item in items]
            except TypeError as error:
                raise wrong(f"from_collection(): {error}") from None
        operator = Transformation(
            OperatorKind.COLLECTION_SOURCE,
            "Source: Collection",
            params={"count": len(items)},
            functions={"items": items},
            parallelism=1,
            parallelism_max=1,
        )
        return DataStream(self, (Link(self._add(operator)),), operator, type_info)

    def from_elements(self, *elements: Any) -> DataStream:
        """``from_collection`` of the arguments."""
        return self.from_collection(elements)

    def from_source(
        self,
        source: Source,
        watermark_strategy: WatermarkStrategy,
        source_name: str,
        type_info: TypeInformation | None = None,
    ) -> DataStream:
        """The records of a source, such as a KafkaSource, with event times and watermarks as the strategy says."""
        if not isinstance(source, Source):
            hint = "call .build() on the builder" if hasattr(source, "build") else ""
            raise wrong(f"from_source() takes a Source, such as a KafkaSource, not {source!r:.80}", hint=hint)
        if not isinstance(watermark_strategy, WatermarkStrategy):
            raise wrong(
                "from_source() takes a WatermarkStrategy, such as WatermarkStrategy.no_watermarks(), not "
                f"{watermark_strategy!r:.80}"
            )
        functions = source.functions()
        if watermark_strategy.assigner is not None:
            functions["timestamp"] = watermark_strategy.assigner
        operator = Transformation(
            source.kind,
            "Source",
            params={**source.params(), "watermark": watermark_strategy.params()},
            functions=functions,
        )
        operator.set_name(source_name)
        operator.name = f"Source: {source_name}"[:500]
        declared = type_info or source.produced_type()
        return DataStream(self, (Link(self._add(operator)),), operator, declared)

    # ---- execution

    def execute(self, job_name: str | None = None) -> JobExecutionResult:
        """Submit the program as one job.

        Run by ``streamctl submit`` it returns when the job is RUNNING; with --wait, when it has ended. Raises
        UsageError for a program that cannot run, UnavailableError when no cluster answers (retrying is safe),
        JobFailedError when it waited and the job failed.
        """
        client = self._submit(job_name, wait=True)
        result = client.get_job_execution_result()
        if result.done():
            return result.result()
        return JobExecutionResult(client.get_job_id(), "RUNNING")

    def execute_async(self, job_name: str | None = None) -> JobClient:
        """As ``execute``, without waiting for the job's end."""
        return self._submit(job_name, wait=False)

    def get_execution_plan(self) -> str:
        """The program so far as JSON in Flink's form: operators, and what each reads."""
        return plan_of(self.program().graph)

    def program(self) -> Program:
        """The program so far, as data. Raises UsageError when it is empty or does not fit together."""
        if not self.get_config().has_auto_generated_uids_enabled():
            refuse_missing_uids(self._transformations)
        return program_of(
            self._transformations,
            parallelism=self.get_parallelism(),
            lanes=options.number(self._options, options.LANES),
            chaining=self._chaining,
            mode=options.runtime_mode(self._options),
        )

    def _submit(self, job_name: str | None, *, wait: bool) -> JobClient:
        name = job_name or self._options.get_string(options.NAME) or "Headrace Streaming Job"
        if not isinstance(name, str) or len(name) > 200:
            raise wrong(f"a job's name must be a str of 1 to 200 characters, not {name!r:.60}")
        from headrace.datastream.submission import build_submission  # here: slot workers never submit

        travels = {key: value for key, value in self._options.to_dict().items() if key not in (FILES, REQUIREMENTS)}
        submission = build_submission(self.program(), name, travels, dependencies=self._dependencies())
        executor = active_executor()
        vertices = submission.submit.graph.vertices
        check_kafka([operator for vertex in vertices for operator in vertex.operators], executor)
        self._executed = True
        client = executor.submit(submission.submit, submission.code, wait=wait, dependencies=submission.dependencies)
        self._transformations = []
        return client

    def _collect(self, sink: Transformation, job_name: str | None) -> ResultSource:
        """Submit the program with one more sink; the sink goes again when that fails."""
        self._add(sink)
        try:
            client = self._submit(job_name, wait=False)
        except BaseException:
            self._transformations = [each for each in self._transformations if each is not sink]
            raise
        return collected(client)

    def _add(self, transformation: Transformation) -> Transformation:
        self._transformations.append(transformation)
        return transformation

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle 'StreamExecutionEnvironment' object")


def _mind_the_script(environment: StreamExecutionEnvironment) -> None:
    """``python job.py``: errors meant for people are shown as such, and a forgotten execute() is said."""
    from headrace.in_process.terminal import nobody_minds_errors, remind_of_execute, speak_plainly

    _made.append(environment)
    del _made[:-ENVIRONMENTS_MINDED_MAX]
    if nobody_minds_errors():
        speak_plainly()
        remind_of_execute(lambda: any(each._transformations and not each._executed for each in _made))
