"""The plain producer of an at-least-once lane on Kafka: idempotent, no transaction, records leave at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.log.kafka_errors import client_log, kafka_error, log_error
from headrace.log.lane import LogError, Remedy

#: Between two looks of a waiting cut whether another thread has served its last report.
POLL_S = 0.05


class KafkaPlainProducer:
    """See PlainProducer. Used by one thread; the waits that ``cut`` gives, by any."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._client = Producer(options, logger=client_log)
        self._stretch = _Stretch()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = -1,
        key: bytes | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp_ms: int = 0,
    ) -> None:
        stretch = self._stretch
        while True:
            try:
                self._client.produce(
                    topic,
                    value,
                    key,
                    partition,
                    on_delivery=stretch.reported,
                    timestamp=timestamp_ms,
                    headers=headers,  # type: ignore[arg-type]
                )
                stretch.produced += 1
                return
            except BufferError:
                self._client.poll(POLL_S)
                stretch.check()
            except (KafkaException, SystemError) as raised:
                raise log_error(kafka_error(raised), Remedy.ABORT) from raised

    def cut(self) -> Callable[[float], None]:
        stretch = self._stretch
        stretch.check()
        self._stretch = _Stretch(stretch)
        return lambda timeout_s: self._await(stretch, timeout_s)

    def close(self) -> None:
        self._client.purge()

    def _await(self, stretch: _Stretch, timeout_s: float) -> None:
        """The client's own flush would wait for what came after the cut too: with steady output, for ever."""
        deadline_s = time.monotonic() + timeout_s
        while stretch.outstanding():
            self._client.poll(POLL_S)
            stretch.check()
            if time.monotonic() > deadline_s:
                left = stretch.outstanding()
                raise LogError("_TIMED_OUT", f"{left} records not acknowledged in {timeout_s} s", Remedy.RETRY)
        stretch.check()


class _Stretch:
    """The records between two cuts. Produced by one thread, reported by whichever polls the client."""

    def __init__(self, before: _Stretch | None = None) -> None:
        self.produced = 0
        self._reported = 0
        self._lock = threading.Lock()
        self._failure: KafkaError | None = before._failure if before is not None else None

    def reported(self, error: KafkaError | None, _message: Message) -> None:
        with self._lock:
            self._reported += 1
            if error is not None and self._failure is None:
                self._failure = error

    def outstanding(self) -> int:
        return self.produced - self._reported

    def check(self) -> None:
        if self._failure is not None:
            raise log_error(self._failure, Remedy.ABORT)
