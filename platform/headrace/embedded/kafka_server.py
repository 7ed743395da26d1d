"""One real Kafka broker (broker and controller in one process): its files, command lines and log.

Settings are for a laptop: little memory and few threads, fast start and fast recovery after a kill. Nothing
that decides about durability or transactions differs from a broker's defaults, except replication factor 1.
"""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from headrace.embedded.disk import require_free_space
from headrace.embedded.java import Java
from headrace.embedded.processes import MARK, child_environment, log_end
from headrace.errors import HeadraceError

HEAP_MB = 512
FORMAT_TIMEOUT_S = 120
FREE_SPACE_BYTES = 500_000_000
#: The log line of a broker that dropped commit markers of a committed transaction (KAFKA-20734).
SKIPPED_MARKERS = "likely deleted already"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}

# one broker holds everything
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
auto.create.topics.enable=false

# fast joins, fast recovery of a killed broker or client
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=400
metadata.max.idle.interval.ms=10000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000

# few threads, little memory
group.coordinator.threads=1
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=2
num.replica.fetchers=1
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.io.buffer.size=262144
log.segment.bytes=134217728
"""

_LOGGING = """\
<Configuration status="ERROR">
  <Appenders>
    <RollingFile name="file" fileName="{file}" filePattern="{file}.%i" immediateFlush="true">
      <PatternLayout pattern="%d{{ISO8601}} %-5p %m (%c{{1}})%n%xEx"/>
      <Policies><SizeBasedTriggeringPolicy size="10 MB"/></Policies>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="WARN"><AppenderRef ref="file"/></Root>
    <Logger name="kafka.coordinator.transaction.TransactionMarkerChannelManager" level="INFO"/>
    <Logger name="kafka.coordinator.transaction.TransactionCoordinator" level="INFO"/>
    <Logger name="kafka.server.KafkaRaftServer" level="INFO"/>
    <Logger name="kafka.log.LogManager" level="INFO"/>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class KafkaServer:
    """A broker's place on disk and its ports. ``aot_cache`` makes it start three times faster when it exists."""

    directory: Path
    port: int
    controller_port: int
    java: Java
    jars: tuple[Path, ...]
    aot_cache: Path | None = None
    heap_mb: int = HEAP_MB
    mark: str = ""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def log_file(self) -> Path:
        """The broker's own log, rotated by the broker."""
        return self.directory / "kafka.log"

    @property
    def output_file(self) -> Path:
        """What the JVM prints; new with each start."""
        return self.directory / "kafka.out"

    def prepare(self) -> None:
        """Write the configuration and, the first time, format the data directory (0.6 to 4 s, a JVM run).

        Raises HeadraceError ``disk-full`` or ``kafka-format``.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        require_free_space(self.directory, FREE_SPACE_BYTES, "the embedded Kafka")
        data = self.directory / "data"
        self.properties.write_text(
            _PROPERTIES.format(port=self.port, controller_port=self.controller_port, data=data), encoding="utf-8"
        )
        logging_file = self.directory / "log4j2.xml"
        logging_file.write_text(_LOGGING.format(file=self.log_file), encoding="utf-8")
        if not (data / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        # "--cluster-id=" in one word: an id may begin with a dash.
        command = [
            *self._jvm(),
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={_new_cluster_id()}",
            "-c",
            str(self.properties),
        ]
        with self.output_file.open("wb") as output:
            try:
                done = subprocess.run(
                    command,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env=child_environment({MARK: self.mark}),
                    timeout=FORMAT_TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                done = None
        if done is None or done.returncode != 0:
            raise HeadraceError(
                "kafka-format",
                f"Kafka could not prepare {self.directory}: {log_end(self.output_file, lines=3)}",
                hint=f"see {self.output_file}",
            )

    def command(self, *, aot_output: Path | None = None) -> list[str]:
        """Command line of the broker. ``aot_output``: a training run that writes a cache when it ends."""
        extra = [f"-XX:AOTCacheOutput={aot_output}"] if aot_output else []
        return [*self._jvm(*extra), "kafka.Kafka", str(self.properties)]

    def _jvm(self, *extra: str) -> list[str]:
        if self.aot_cache is not None and self.aot_cache.exists() and not extra:
            mode = [f"-XX:AOTCache={self.aot_cache}"]
        else:
            mode = ["-XX:TieredStopAtLevel=1"] if not extra else []  # without a cache C2 only delays the start
        return [
            str(self.java.executable),
            "-Xms64m",
            f"-Xmx{self.heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            f"-XX:ErrorFile={self.directory}/hs_err_%p.log",
            *mode,
            *extra,
            "-Xlog:disable",
            "-Xlog:all=error:stderr",
            f"-Dlog4j2.configurationFile={self.directory}/log4j2.xml",
            "-cp",
            os.pathsep.join(str(jar) for jar in self.jars),
        ]


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
