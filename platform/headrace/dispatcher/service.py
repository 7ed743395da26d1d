"""The Dispatcher process: Faust, REST, ResourceManager and JobMasters in one event loop; its start and its end.

start   REST first, so that /health says what is waited for; Kafka; control topics; membership
end     SIGTERM or SIGINT: leases released, membership left, status 0; hard exit if that takes too long
crash   anything that cannot be survived: status 70, and whoever supervises starts it again
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import uuid
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.types import ASGIApp

from headrace.dispatcher.answers import Answers
from headrace.dispatcher.control_topics import ensure_control_topics
from headrace.dispatcher.dispatcher import Dispatcher
from headrace.dispatcher.home import HomeContext
from headrace.dispatcher.probes import Probes, say
from headrace.dispatcher.views import Views
from headrace.errors import HeadraceError, UsageError
from headrace.jobmaster.service import JobMaster
from headrace.log.control import LogUnavailableError
from headrace.log.control_kafka import ControlKafka
from headrace.log.job_log_faust import FaustJobLog
from headrace.log.lane_kafka import KafkaLaneConnection
from headrace.protocol.submission import Submit, UploadedCode
from headrace.protocol.topics import Topics
from headrace.resourcemanager.service import ResourceManager
from headrace.rest.access import Access
from headrace.rest.app import application
from headrace.rest.kafka_view import KafkaView
from headrace.rest.models import Health
from headrace.rest.services import Services
from headrace.settings import Settings
from headrace.store.redis_store import RedisStore
from headrace.telemetry import process_log

log = structlog.get_logger(__name__)

EXIT_CRASHED = 70
#: More than the bounds of all steps of a stop together: homes and membership 5 s, REST 3 s, clients 3 s.
STOP_S = 15.0
CONNECT_PAUSE_S = 0.1
REST_STOP_S = 3.0
#: Of REST, idle ones too: they must not take the descriptors that Kafka and Redis need.
CONNECTIONS_MAX = 1000
LEFTOVERS_S = 3.0


def run_dispatcher(settings: Settings) -> None:
    """Run a Dispatcher in this process until SIGTERM or SIGINT.

    Waits for Kafka and rides out an absent Redis. Raises UsageError for what the user must change; ends the
    process with status 70 when it crashed, and when a stop takes longer than STOP_S.
    """
    if settings.bootstrap is None or settings.redis is None:
        missing = "Kafka's address" if settings.bootstrap is None else "Redis's URL"
        raise UsageError(
            "no-cluster",
            f"a Dispatcher needs {missing}",
            hint="--bootstrap and --redis, or HEADRACE_BOOTSTRAP and HEADRACE_REDIS",
        )
    process_log.configure()
    listening = _listen(settings.rest_host, settings.rest_port)
    crashed = asyncio.run(_Process(settings, settings.bootstrap, settings.redis).serve(listening))
    if crashed:
        os._exit(EXIT_CRASHED)  # threads of a broken client must not hold up the end


class _Process:
    """Everything one Dispatcher process holds."""

    def __init__(self, settings: Settings, bootstrap: str, redis: str) -> None:
        self._settings = settings
        self._bootstrap = bootstrap
        self._redis = redis
        self._topics = Topics(settings.namespace)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._dispatcher: Dispatcher | None = None

    async def serve(self, listening: socket.socket) -> bool:
        """Until stopped (False) or crashed (True). Raises HeadraceError for what the user must change."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        self._log = ControlKafka(self._bootstrap, self._settings.kafka)
        self._store = RedisStore(self._redis, self._settings.namespace)
        self._lanes = KafkaLaneConnection(self._bootstrap, self._settings.kafka, client_id="headrace-dispatcher")
        addresses = {"Kafka": self._bootstrap, "Redis": _without_password(self._redis)}
        self._probes = Probes(self._log, self._store, self._topics.jobs, addresses)
        self._kafka_view = KafkaView(self._bootstrap, self._settings.kafka)
        config = uvicorn.Config(
            self._application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=CONNECTIONS_MAX,
        )
        web = _Web(config)
        serving = asyncio.create_task(web.serve(sockets=[listening]), name="rest")
        working = asyncio.create_task(self._work(), name="dispatcher")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        crashed = not stopping.done()
        watchdog = _exit_after(STOP_S, EXIT_CRASHED)
        await self._end(working, web, serving)
        watchdog.cancel()
        _exit_after(LEFTOVERS_S, EXIT_CRASHED if crashed else 0)  # all is said; a library's tasks may not end
        if not crashed:
            say("stopped")
        elif working.done() and not working.cancelled() and (error := _usage_error(working.exception())):
            raise error
        else:
            failed = working if working.done() else serving
            log.error("dispatcher.crashed", exc_info=None if failed.cancelled() else failed.exception())
        return crashed

    def _application(self) -> ASGIApp:
        access = Access(self._settings.rest_host, self._settings.rest_token)
        if access.open_to_the_network:
            say(f"REST on {access.host} asks for no token: whoever reaches it may run code (set HEADRACE_REST_TOKEN)")
        services = Services(
            store=self._store,
            log=self._log,
            kafka=self._kafka_view,
            topics=self._topics,
            dispatcher=self._name,
            health=self._health,
        )
        return application(services, access)

    # ---- work

    async def _work(self) -> None:
        partitions = await self._connect()
        self._dispatcher = self._make_dispatcher(partitions)
        say(f"{self._name} in namespace {self._settings.namespace}, {partitions} home partitions")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._dispatcher.run())
            group.create_task(ResourceManager(self._store, self._name).run())
            group.create_task(self._probes.watch())

    async def _connect(self) -> int:
        """Wait for Kafka, make the control topics; their partition count."""
        while True:
            if await self._probes.look_at_kafka():
                with contextlib.suppress(LogUnavailableError):
                    return await ensure_control_topics(self._log, self._topics, self._settings.control_partitions)
            await asyncio.sleep(CONNECT_PAUSE_S)

    def _make_dispatcher(self, partitions: int) -> Dispatcher:
        job_log = FaustJobLog(
            self._bootstrap,
            self._topics.jobs,
            f"{self._settings.namespace}.dispatcher",
            partitions,
            options=self._settings.kafka,
            session_timeout_s=self._settings.session_timeout_s,
        )
        context = HomeContext(
            log=self._log,
            store=self._store,
            topics=self._topics,
            answers=Answers(self._log, self._topics, partitions),
            views=Views(self._store, self._name),
            dispatcher=self._name,
            retention_ms=round(self._settings.job_retention_s * 1000),
            make_master=self._make_master,
        )
        return Dispatcher(job_log, context, partitions)

    def _make_master(self, submit: Submit, code: UploadedCode | None, submitted_ms: int) -> JobMaster:
        return JobMaster(
            submit,
            code,
            log=self._log,
            store=self._store,
            topics=self._topics,
            lanes=self._lanes,
            dispatcher=self._name,
            submitted_ms=submitted_ms,
        )

    async def _health(self) -> Health:
        await self._probes.look()
        dispatcher = self._dispatcher
        return Health(
            ok=not self._probes.kafka and not self._probes.redis and dispatcher is not None and dispatcher.member,
            kafka=self._probes.kafka or "ok",
            redis=self._probes.redis or "ok",
            dispatcher=self._name,
            partitions={p: phase.name for p, phase in dispatcher.phases().items()} if dispatcher else {},
            jobmasters=dispatcher.masters if dispatcher else 0,
        )

    # ---- end

    async def _end(self, working: asyncio.Task[None], web: uvicorn.Server, serving: asyncio.Task[None]) -> None:
        """Leases and membership first: another Dispatcher may act as soon as they are gone."""
        working.cancel()
        await asyncio.wait([working])
        web.should_exit = True
        await asyncio.wait([serving], timeout=REST_STOP_S)
        serving.cancel()
        closing: list[Callable[[], Awaitable[None]]] = [self._store.close, self._log.close]
        for close in closing:
            await close()
        self._lanes.close()
        self._kafka_view.close()


class _Web(uvicorn.Server):
    """Signals are the process's own to take."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # as in the base class
        yield


def _exit_after(seconds: float, status: int) -> threading.Timer:
    """End the process unless it ends first or the timer is cancelled. A thread: the loop may be what hangs."""
    timer = threading.Timer(seconds, os._exit, [status])
    timer.daemon = True
    timer.start()
    return timer


def _listen(host: str, port: int) -> socket.socket:
    try:
        server = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # Connections inherit it. asyncio sets it on sockets of its own only, and every answer would wait 40 ms.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    except OSError as error:
        raise UsageError(
            "port-taken",
            f"REST cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another port with --rest-port or HEADRACE_REST_PORT",
        ) from None


def _usage_error(error: BaseException | None) -> HeadraceError | None:
    """The error for a person inside what ended the work."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _usage_error(each))), None)
    return error if isinstance(error, HeadraceError) else None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
