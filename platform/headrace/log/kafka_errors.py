"""What the lane log's clients share: errors of confluent-kafka and what a lane does about them."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError, KafkaException

from headrace.log.lane import LogError, Remedy

#: Longest single wait inside a call that is repeated until its own deadline.
STEP_S = 5.0

#: The client prints its last words to stderr whatever log_level says, unless it has a logger. Its errors reach
#: the caller as LogError, so this logger keeps them from the terminal; handlers may be added for debugging.
client_log = logging.getLogger("headrace.log.librdkafka")
client_log.addHandler(logging.NullHandler())
client_log.propagate = False


def remedy(error: KafkaError) -> Remedy:
    """What a lane does about an error of a transactional call."""
    if error.fatal():
        return Remedy.FENCED if error.code() == KafkaError._FENCED else Remedy.REBUILD
    if error.txn_requires_abort():
        return Remedy.ABORT
    return Remedy.RETRY if error.retriable() else Remedy.REBUILD


def log_error(error: KafkaError, cure: Remedy | None = None) -> LogError:
    """The port's error for the client's; ``cure`` overrides the general classification."""
    return LogError(error.name(), error.str(), cure or remedy(error))


def kafka_error(raised: BaseException) -> KafkaError:
    """The client's error inside what one of its calls raised.

    A callback that runs while a fatal error is raised turns it into SystemError; the cause is kept in it.
    """
    cause = raised.__cause__ if isinstance(raised, SystemError) else raised
    if isinstance(cause, KafkaException) and cause.args and isinstance(cause.args[0], KafkaError):
        return cause.args[0]
    return KafkaError(KafkaError._FAIL, str(raised))
