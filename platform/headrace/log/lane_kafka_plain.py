"""The plain producer of an at-least-once lane on Kafka: idempotent, no transaction, records leave at once."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.log.kafka_errors import client_log, kafka_error, log_error
from headrace.log.lane import LogError, Remedy


class KafkaPlainProducer:
    """See PlainProducer. Used by one thread at a time."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._undelivered: KafkaError | None = None
        options = {**options, "on_delivery": self._delivered, "delivery.report.only.error": True}
        self._client = Producer(options, logger=client_log)

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
        while True:
            try:
                self._client.produce(
                    topic,
                    value,
                    key,
                    partition,
                    timestamp=timestamp_ms,
                    headers=headers,  # type: ignore[arg-type]
                )
                return
            except BufferError:
                self._client.poll(0.02)
                self._check()
            except (KafkaException, SystemError) as raised:
                raise log_error(kafka_error(raised), Remedy.ABORT) from raised

    def flush(self, timeout_s: float) -> None:
        left = self._client.flush(timeout_s)
        self._check()
        if left:
            raise LogError("_TIMED_OUT", f"{left} records not acknowledged in {timeout_s} s", Remedy.RETRY)

    def close(self) -> None:
        self._client.purge()

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._undelivered is None:
            self._undelivered = error

    def _check(self) -> None:
        if self._undelivered is not None:
            raise log_error(self._undelivered, Remedy.ABORT)
