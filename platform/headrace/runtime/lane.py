"""The lane loop: read, run the chain, commit; and what follows when a commit does not simply succeed.

    start      own the id, restore from the lane log, open the chain, seek
    step       finish a commit that is done, read, advance event time, begin a commit when due
    recover    undo (aborted) or rebuild (outcome unknown, fenced): the lane log decides

One thread runs a lane; its commit helper runs one transaction at a time beside it. ``step`` alone moves a lane
forward, so that a simulation can drive it without threads.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

from headrace.log.lane import LaneConnection, LaneProducer, LogError, PositionLostError, Remedy, Split
from headrace.protocol.data import LaneLogRecord
from headrace.runtime.backpressure import Backpressure
from headrace.runtime.commit import Commit, CommitHelper, Outcome
from headrace.runtime.eventtime.held import HeldWatermark
from headrace.runtime.lane_contract import Commits, LaneFailedError, LaneHost, LaneParts, Phase
from headrace.runtime.lane_log import empty_record, encode_record
from headrace.runtime.outputs import LaneOutputs, sizes
from headrace.runtime.ownership import Acquired, LaneOwnership
from headrace.runtime.pace import QUIET_S, CommitPace
from headrace.runtime.ports import MAX_WATERMARK, MIN_WATERMARK, Chain, Pending
from headrace.runtime.reading import LaneReading
from headrace.runtime.snapshot import SnapshotSchedule

ROWS_PER_TARGET_MAX = 15_000
ADVANCE_ROWS_MAX = 20_000
HELD_WAIT_S = 0.02
#: How long a lane waits for input at most while results of its own are to come.
PENDING_WAIT_S = 0.005
#: Commits that may fail in a row before the lane gives up with the last reason.
FAILURES_MAX = 30
#: Errors of a commit that repeating cannot cure: the lane fails at once and names them.
HOPELESS = frozenset(
    {
        "MSG_SIZE_TOO_LARGE",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_PARTITION",
        "TOPIC_AUTHORIZATION_FAILED",
        "INVALID_RECORD",
        "INVALID_TIMESTAMP",
        "_INVALID_ARG",
    }
)


class _SendRefusedError(Exception):
    """At least once: a record did not leave."""

    def __init__(self, error: LogError) -> None:
        super().__init__(str(error))
        self.error = error


class Lane:
    """One attempt of one lane."""

    def __init__(
        self,
        parts: LaneParts,
        connection: LaneConnection,
        transactional_id: str,
        host: LaneHost,
        *,
        clock: Callable[[], float],
        helper: Commits | None = None,
        back_off_s: Callable[[], float] = lambda: random.uniform(0.1, 0.5),
    ) -> None:
        """``helper`` runs the commits (default: a thread); ``back_off_s``: the wait before a rebuild when fenced."""
        self.parts = parts
        self.phase = Phase.STARTING
        self.committed: LaneLogRecord = empty_record()
        self.commits = self.records_in = self.records_out = 0
        self.first_read_s = self.last_commit_s = 0.0
        self.progressed = False  #: this attempt has committed some of its input, or of event time
        self.reason = ""
        self._connection = connection
        self._host = host
        self._clock = clock
        self._stop = threading.Event()
        self._resume = threading.Event()
        self._wake = threading.Event()
        self._log = parts.log_of(connection)
        self._ownership = LaneOwnership(connection, transactional_id, self._log, clock=clock, pause=self._pause)
        self.helper: Commits = helper or CommitHelper(parts.name, clock)
        self._back_off_s = back_off_s
        self._snapshots = SnapshotSchedule(parts.tables)
        self._pace = CommitPace(parts.interval_s, clock())
        self._producer: LaneProducer | None = None
        self._reading = LaneReading(connection, self._pause, parts.inputs.fetching)
        self._outputs = LaneOutputs(parts.buffers, parts.exchange_topics, parts.sink_records, direct=parts.direct)
        self._chain: Chain | None = None
        self._in_flight: Commit | None = None
        self._watermark = MIN_WATERMARK  # fired completely up to here
        self._advancing: int | None = None  # a watermark whose timers have not all fired yet
        self._held = HeldWatermark(lambda: parts.inputs.holding(self._ends_seen()), clock())
        self._dirty = False
        self._failures = 0
        self._opening = True  # the first commit since the last rewind is still to come

    @property
    def backpressure(self) -> Backpressure:
        """How far the readers of this lane's exchanges are behind."""
        return self._outputs.backpressure

    # ---- orders from the worker, any thread

    def stop(self) -> None:
        """End after the commit in flight; nothing more is begun."""
        self._stop.set()
        self._wake.set()

    def resume(self) -> None:
        """The lane is still ours: rebuild after having been fenced."""
        self._resume.set()
        self._wake.set()

    # ---- the thread

    def run(self) -> Phase:
        """Until FINISHED or STOPPED. Raises what user code or the lane itself failed with."""
        try:
            self.start()
            while self.phase in (Phase.STARTING, Phase.RUNNING):
                self.step()
            return self.phase
        finally:
            if not self._ended():
                self.phase = Phase.STOPPED  # nobody may trim for a lane that failed
            self._close()

    def start(self) -> None:
        """Own the id, restore, open the chain."""
        acquired = self._acquire()
        if acquired is None:
            return
        self._restore(acquired)

    def step(self) -> None:
        """One turn of the loop."""
        if self._in_flight is not None and self._in_flight.done.is_set():
            self._finish_commit()
        if self._stop.is_set():
            if self._in_flight is not None:
                self._in_flight.done.wait()
                self._finish_commit()
            self.phase = Phase.STOPPED
            return
        if self._ended():
            return
        if not self._opening and self._advancing is None:
            try:
                self._read()
            except PositionLostError as lost:
                self._position_lost(lost)
                return
        final = self._advance()
        try:
            self._commit_if_due(final)
        except _SendRefusedError as refused:
            self._send_failed(refused.error)

    # ---- start and restore

    def _pause(self, seconds: float) -> bool:
        return self._stop.wait(seconds)

    def _acquire(self) -> Acquired | None:
        while True:
            self.helper.call_began_s = None
            try:
                acquired = self._ownership.acquire()
            except LogError as error:
                self.reason = f"starting: {error}"
                if error.remedy is not Remedy.FENCED:
                    raise
                if not self._wait_fenced():
                    self.phase = Phase.STOPPED
                    return None
                continue
            if acquired is None:
                self.phase = Phase.STOPPED
                return None
            self._producer = acquired.producer
            return acquired

    def _restore(self, acquired: Acquired) -> None:
        """All state anew from the log: at the start, or when another owner has committed meanwhile."""
        self.parts.tables.clear()
        self._in_flight = None
        self._snapshots.restored(self._ownership.replay(acquired, self.parts.tables.apply))
        if acquired.newest is None:
            self.committed = fresh = empty_record()
            self._ownership.persist(lambda: self.parts.inputs.resolve(self._connection, fresh, 10.0))
            if self._stop.is_set():
                return
        else:
            self.committed = acquired.newest
            self.committed.changes = self.committed.chunk = []
            if self.committed.finished:
                self.parts.new_chain(self._wake.set).committed()
                self.phase = Phase.FINISHED
                return
        self._rewind()
        if not self._opening:
            self._now_running()

    def _rewind(self) -> None:
        """Working copies become the committed ones; inputs are sought back; the chain starts afresh."""
        if self._chain is not None:
            self._chain.close()
        self.parts.inputs.restore(self.committed)
        self._outputs.rewind(self.committed.sent, self._connection)
        self._chain = chain = self.parts.new_chain(self._wake.set)
        chain.open()
        chain.restore_split_watermarks(self.committed.split_watermarks)
        self._watermark, self._advancing = self.committed.watermark, None
        if self._watermark != MIN_WATERMARK and not self.parts.direct:
            # Fires at most what a cut firing left over; the rest of it comes with the next watermark.
            chain.advance(self._watermark, ADVANCE_ROWS_MAX)
        elif self._watermark != MIN_WATERMARK:
            # What a cut firing still gives must not be in the opening commit: its outputs leave after that.
            self._watermark, self._advancing = MIN_WATERMARK, self.committed.watermark
        self._reading.seek(self.parts.inputs.assignment())
        self._opening = self._dirty = self.committed.c < 0 or self.parts.direct

    def _now_running(self) -> None:
        if self.phase is Phase.STARTING:
            self.phase = Phase.RUNNING
            self._host.running()

    # ---- reading and event time

    def _read(self) -> None:
        assert self._chain is not None
        inputs = self.parts.inputs
        self._dirty = self._chain.due() or self._dirty
        held = self.backpressure.held_by()
        if held is not None:
            self.reason = f"waiting for the reader of {held[0]}/{held[1]}: {self.backpressure.bytes_max} bytes ahead"
            self._wake_wait(HELD_WAIT_S)
            return
        now_s = self._clock()
        pending = self._chain.pending()
        if pending is Pending.FULL:
            self.reason = "waiting for results of an async function, which has as many calls as its capacity allows"
            self._wake_wait(min(HELD_WAIT_S, self._wait_s(now_s)))
            return
        self.reason = self._held.reason(now_s)
        if inputs.took_up_splits():
            self._reading.seek(inputs.assignment())
        messages: list[Any] = []
        if inputs.assignment():
            wait_s = self._wait_s(now_s)
            if pending is Pending.SOME:
                wait_s = min(wait_s, PENDING_WAIT_S)
            messages = self._reading.read(inputs.messages_max, wait_s, inputs.assignment)
            if not messages:
                self.reason = self._reading.reason or self.reason
                return
        rows = inputs.process(messages, self._chain)
        if rows or messages:
            now_s = self._clock()
            if rows:
                self.first_read_s = self.first_read_s or now_s
                self._pace.input_came(now_s)
                self._held.rows_came(now_s)
            self.records_in += rows
            self._dirty = True
        elif not messages:
            self._wake_wait(min(self._wait_s(now_s), inputs.wait_s()))

    def _wait_s(self, now_s: float) -> float:
        waiting = self._outputs.waiting() > 0
        wait_s = self._pace.wait_s(now_s, dirty=self._dirty, output_waits=waiting, untold=self._untold(now_s))
        if self._in_flight is None or self._in_flight.done.is_set():
            return wait_s
        return max(QUIET_S, min(wait_s, HELD_WAIT_S))  # a commit that takes longer than the interval is waited for

    def _wake_wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _untold(self, now_s: float) -> bool:
        assert self._chain is not None
        return self._outputs.untold(self._chain, idle=self._idle(now_s))

    def _idle(self, now_s: float) -> bool:
        """Nothing is expected to leave for now."""
        assert self._chain is not None
        return self._chain.pending() is Pending.NONE and self.parts.inputs.idle(now_s)

    def _ends_seen(self) -> dict[Split, int]:
        return {split: self._reading.end_seen(split) for split in self.parts.inputs.assignment()}

    def _advance(self) -> bool:
        """Move event time as far as the inputs allow; True when the lane has nothing left to do but end."""
        assert self._chain is not None
        if self._opening:
            return False
        ended = self._advancing is None and self.parts.inputs.ended(self._ends_seen())
        target = self._advancing
        if target is None:
            target = MAX_WATERMARK if ended else self.parts.inputs.watermark(self._clock())
        if target > self._watermark:
            if not self._chain.advance(target, ADVANCE_ROWS_MAX):
                self._advancing = target
                self._dirty = True
                return False
            self._advancing = None
            self._watermark = target
            self._held.moved(self._clock())
            self._dirty = True
        return (ended or target == MAX_WATERMARK) and self._chain.pending() is Pending.NONE

    # ---- commits

    def _commit_if_due(self, final: bool) -> None:
        now_s = self._clock()
        if self._outputs.is_direct and not (self._opening or final):
            quiet = self._pace.quiet(now_s)
            if self._outputs.waiting() or (quiet and self._untold(now_s)):
                self._send(end=False, tell_all=quiet)
        rows = self._outputs.waiting()
        full = rows >= ROWS_PER_TARGET_MAX * max(1, len(self.parts.buffers))
        tell = self._pace.quiet(now_s) and self._untold(now_s)
        due = (
            final
            or full
            or tell
            or self._advancing is not None
            or self._opening
            or self._pace.due(now_s, dirty=self._dirty, output_waits=rows > 0)
        )
        if not due:
            return
        if self._in_flight is not None:
            must_wait = final or self._advancing is not None or rows >= 2 * ROWS_PER_TARGET_MAX
            if not must_wait and not self._in_flight.done.is_set():
                return
            self._in_flight.done.wait()
            if not self._finish_commit():
                return
        self._begin_commit(final=final, tell_all=tell)

    def _begin_commit(self, *, final: bool, tell_all: bool) -> None:
        assert self._chain is not None and self._producer is not None
        now_s = self._clock()
        record = empty_record()
        record.c, record.by = self.committed.c + 1, self.parts.owner_id
        record.snapshot_from = self.committed.snapshot_from
        record.watermark, record.finished = max(self._watermark, self.committed.watermark), final
        self.parts.inputs.record_into(record)
        rows_out = self._outputs.waiting()
        messages, sinks = [], []
        if not self._outputs.is_direct:
            idle = self._idle(now_s)
            messages = self._outputs.packed(record.c, self._chain, idle=idle, end=final, tell_all=tell_all)
            sinks = self._outputs.sink_records()
            record.sent = self._outputs.sent()
        elif not self._opening:
            self._send(end=final, tell_all=tell_all)
        acknowledged = self._cut()
        self._chain.prepare(record.c, final=final)
        record.changes = self.parts.tables.take_changes()
        self._snapshots.add_to(record)
        commit = Commit(
            record=record,
            log_split=self._log.split,
            log_messages=encode_record(record),
            exchange_messages=messages,
            sink_records=sinks,
            rows_out=rows_out,
            sent_bytes=sizes(messages),
            began_s=now_s,
            acknowledged=acknowledged,
        )
        self._dirty = False
        self._in_flight = commit
        self._pace.commit_began(now_s)
        self.helper.submit(self._producer, commit)
        if final or self._opening:
            commit.done.wait()
            self._finish_commit()

    def _send(self, *, end: bool, tell_all: bool) -> None:
        assert self._chain is not None
        idle = self._idle(self._clock())
        try:
            self._outputs.send(self._chain, idle=idle, end=end, tell_all=tell_all)
        except LogError as error:
            raise _SendRefusedError(error) from error

    def _cut(self) -> Callable[[float], None] | None:
        try:
            return self._outputs.cut()
        except LogError as error:
            raise _SendRefusedError(error) from error

    def _send_failed(self, error: LogError) -> None:
        """At least once: a record was refused. Go back to the last commit; what left already comes again."""
        if self._in_flight is not None:
            self._in_flight.done.wait()
            if not self._finish_commit():  # it met the same refusal, and has gone back already
                return
        self._count_failure(error)
        self._snapshots.abandon()
        self.parts.tables.rollback(keep_in_flight=False)
        self._rewind()

    def _finish_commit(self) -> bool:
        """Act on the outcome of the commit in flight; False when working state was rewound."""
        commit = self._in_flight
        assert commit is not None
        if commit.outcome is None:
            raise commit.error or LaneFailedError("the commit helper ended without an outcome", retryable=True)
        if commit.outcome in (Outcome.COMMITTED, Outcome.COMMITTED_AFTER_RETRY):
            self._durable(commit)
            if commit.outcome is Outcome.COMMITTED_AFTER_RETRY:
                return self._rebuild(None)
            return True
        self._count_failure(commit.error)
        self._snapshots.abandon()
        if commit.outcome is Outcome.ABORTED:
            self._in_flight = None
            self.parts.tables.rollback(keep_in_flight=False)
            self._rewind()
            return False
        if commit.outcome is Outcome.FENCED and not self._wait_fenced():
            self._in_flight = None
            self.phase = Phase.STOPPED
            return False
        return self._rebuild(commit)

    def _durable(self, commit: Commit) -> None:
        """The commit stands in the log: its record is now the committed state."""
        record, before = commit.record, self.committed
        moved = record.changes or record.positions != before.positions or record.watermark != before.watermark
        record.changes = record.chunk = []
        self._in_flight = None
        self.committed = record
        self.parts.tables.committed()
        if self._chain is not None:
            self._chain.committed()
        self._snapshots.committed(record, sum(map(len, commit.log_messages)), commit.delivery.offset)
        self._outputs.backpressure.sent(record.c, commit.sent_bytes)
        self._failures = 0
        self.commits += 1
        self.records_out += self._outputs.rows_sent if self._outputs.is_direct else commit.rows_out
        self._outputs.rows_sent = 0
        if self._opening:
            self._outputs.open_direct(record.c)
        elif moved:
            self.progressed = True
        self._opening = False
        self.last_commit_s = commit.ended_s or self._clock()
        self._pace.commit_took(self.last_commit_s - commit.began_s)
        if record.finished:
            self.phase = Phase.FINISHED
        else:
            self._now_running()

    def _count_failure(self, error: BaseException | None) -> None:
        """Raises LaneFailedError for what repeating cannot cure, and after too many failures in a row."""
        self._failures += 1
        if isinstance(error, LogError) and error.name in HOPELESS:
            raise LaneFailedError(f"commit of {self.parts.name}: {error}", retryable=False)
        if self._failures > FAILURES_MAX:
            text = f"{self._failures} commits of {self.parts.name} failed in a row, the last with {error}"
            raise LaneFailedError(text, retryable=True)

    # ---- fencing and rebuild

    def _wait_fenced(self) -> bool:
        """Ask whether the lane is still ours; True: rebuild, after a random back-off. False: stop."""
        self._resume.clear()
        self.reason = "another process may have taken this lane: asking the plans whose it is"
        self._host.fenced()
        while not (self._stop.is_set() or self._resume.is_set()):
            self._wake.wait()
            self._wake.clear()
        return not self._stop.is_set() and not self._pause(self._back_off_s())

    def _position_lost(self, lost: PositionLostError) -> None:
        """What this lane had still to read is gone. If another owner read it first, its commits say so.

        Raises ``lost`` when nobody else has committed.
        """
        if self._in_flight is not None:
            self._in_flight.done.wait()
            if not self._finish_commit():
                return
        if not self._wait_fenced():
            self.phase = Phase.STOPPED
        elif self._rebuild(None):
            raise lost

    def _rebuild(self, commit: Commit | None) -> bool:
        """A new producer; the log says whether ``commit`` stands. False when working state was rewound."""
        if self._ended():
            return False
        assert self._producer is not None
        self._producer.close()
        acquired = self._acquire()
        if acquired is None:
            return False
        last_c = acquired.newest.c if acquired.newest is not None else -1
        last_by = acquired.newest.by if acquired.newest is not None else ""
        if commit is not None and last_c == commit.record.c and last_by == self.parts.owner_id:
            self._durable(commit)
            if self._ended():
                return False
        elif last_c != self.committed.c or last_by != self.committed.by:
            self._restore(acquired)
            return False
        elif commit is None:
            return True  # nothing was in doubt: the working state stands, on a new producer
        keep = self._in_flight is None
        self._in_flight = None
        self.parts.tables.rollback(keep_in_flight=keep)
        self._rewind()
        return False

    def _ended(self) -> bool:
        return self.phase in (Phase.FINISHED, Phase.STOPPED)

    def _close(self) -> None:
        self.helper.close()
        if self._in_flight is not None:
            self._in_flight.done.wait()
        if self._chain is not None:
            self._chain.close()
        self.parts.inputs.close()
        self._outputs.close()
        if self._producer is not None:
            self._producer.close()
        self._reading.close()

    # ---- what metrics ask, any thread

    def watermark_ms(self) -> int | None:
        """Event time this lane has reached, None before the first watermark and after the last."""
        watermark = self._watermark
        return watermark if MIN_WATERMARK < watermark < MAX_WATERMARK else None

    def lag(self) -> int | None:
        """Records known to wait in this lane's source, None when there is none or it is not known."""
        if self.phase is not Phase.RUNNING:
            return None
        return self.parts.inputs.lag(self._ends_seen())
