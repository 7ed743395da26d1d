"""The inbox with ownership on Faust: one consumer group over ``<ns>.jobs``, at least once.

Faust is used for what it is good at here, group membership and low-rate delivery, and kept to it: no tables, no
web server, no leader, no worker. What the settings and rules below answer:

    an exception that leaves an agent     skips and commits the message: acknowledged by hand, after it was taken
    any rebalance                         messages since the last commit come again: idempotence by job id
    a busy agent holds up a rebalance,    not waited for (``stream_wait_empty``): its message comes again
    and a stop for ever
    the revoked hook                      fires before every assignment, with everything: not used
    exactly_once                          silently off outside Faust's own worker, and lossy: not used
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from typing import Any

import faust
import structlog

from headrace.errors import UsageError
from headrace.log.job_log import Dispatching, InboxRecord, JobLogCrashedError

#: A Dispatcher that says nothing for this long has left. A broker's own minimum is 6 s unless lowered.
SESSION_TIMEOUT_S = 6.0
STOP_S = 5.0

log = structlog.get_logger(__name__)

for _name, _level in {"aiokafka": logging.CRITICAL, "faust": logging.ERROR, "mode": logging.ERROR}.items():
    logging.getLogger(_name).setLevel(_level)  # aiokafka writes some 60 lines a second while the broker is away


class _App(faust.App):  # type: ignore[misc]
    def _create_directories(self) -> None:
        """None: they are for tables, and would appear where the process was started."""


class FaustJobLog:
    """``JobLog`` as a Faust application in the running loop. One ``run`` per object."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        partitions: int,
        *,
        options: Mapping[str, str] | None = None,
        session_timeout_s: float = SESSION_TIMEOUT_S,
    ) -> None:
        self._topic = topic
        self._app = _App(
            group,
            broker=";".join(f"kafka://{server}" for server in bootstrap.split(",")),
            broker_credentials=_credentials(options or {}),
            autodiscover=False,
            web_enabled=False,
            topic_partitions=partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            table_standby_replicas=0,
            processing_guarantee="at_least_once",
            stream_wait_empty=False,
            broker_session_timeout=session_timeout_s,
            broker_heartbeat_interval=min(1.0, session_timeout_s / 6),
            broker_request_timeout=max(10.0, session_timeout_s + 1),
            broker_rebalance_timeout=10,
            broker_commit_interval=0.5,
        )

    async def run(self, dispatching: Dispatching) -> None:
        app = self._app
        self._connect(dispatching)
        app.loop = asyncio.get_running_loop()
        app.finalize()
        try:
            await app.start()
            await app.wait_until_stopped()
            raise JobLogCrashedError(f"Faust stopped: {app.crash_reason!r}")
        finally:
            await self._stop()

    async def _stop(self) -> None:
        """Leave the group; give up on a stop that hangs in a rebalance: the group notices by itself."""
        try:
            async with asyncio.timeout(STOP_S):
                await self._app.stop()
        except TimeoutError:
            log.warning("faust.stop_hangs", after_s=STOP_S)

    def _connect(self, dispatching: Dispatching) -> None:
        app, name = self._app, self._topic
        topic = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        @app.agent(topic, name="inbox")  # type: ignore[untyped-decorator]
        async def inbox(stream: Any) -> None:
            messages = stream.noack()
            async for event in messages.events():
                message = event.message
                await dispatching.inbox(InboxRecord(message.partition, message.offset, message.value))
                await messages.ack(event)

        @app.on_partitions_assigned.connect(weak=False)  # type: ignore[untyped-decorator]
        async def assigned(_app: Any, assigned: Any, **_: Any) -> None:
            dispatching.owned(frozenset(tp.partition for tp in assigned if tp.topic == name))


def _credentials(options: Mapping[str, str]) -> Any:
    """librdkafka's TLS and SASL options as Faust takes them; None for plain text."""
    protocol = options.get("security.protocol", "PLAINTEXT").upper()
    if protocol == "PLAINTEXT":
        return None
    context = None
    if protocol in ("SSL", "SASL_SSL"):
        context = ssl.create_default_context(cafile=options.get("ssl.ca.location"))
        if options.get("ssl.endpoint.identification.algorithm", "https") == "none":
            context.check_hostname = False
        if "ssl.certificate.location" in options:
            context.load_cert_chain(
                options["ssl.certificate.location"],
                options.get("ssl.key.location"),
                options.get("ssl.key.password"),
            )
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    mechanism = options.get("sasl.mechanism") or options.get("sasl.mechanisms") or "PLAIN"
    if mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        raise UsageError(
            "kafka-options",
            f"sasl.mechanism {mechanism!r} does not work for a Dispatcher",
            hint="use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
        )
    return faust.SASLCredentials(
        username=options.get("sasl.username"),
        password=options.get("sasl.password"),
        mechanism=mechanism,
        ssl_context=context,
    )
