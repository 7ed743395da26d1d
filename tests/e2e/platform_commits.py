"""Every commit of a job as a reader of committed records sees it, and the rules they must keep whatever happens."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection
from itertools import groupby

from headrace.protocol.submission import Submit
from streamctl.trial.commits import Commit, CommitReader

POLL_S = 0.05


class CommitHistory:
    """Collects commits in a thread of its own, so that the time at which each was seen is right."""

    def __init__(self, bootstrap: str, namespace: str, submit: Submit) -> None:
        self._reader = CommitReader(bootstrap, namespace, submit)
        self._commits: list[Commit] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commits", daemon=True)

    def begin(self) -> None:
        """Once the job's topics exist."""
        self._reader.begin()
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._commits += self._reader.take(POLL_S)

    def all(self) -> list[Commit]:
        return list(self._commits)

    def count(self) -> int:
        return len(self._commits)

    def latest(self) -> dict[str, Commit]:
        """Lane name to its newest commit."""
        return {commit.lane: commit for commit in self.all()}

    def pids(self) -> dict[str, int]:
        """Lane name to the process that committed last."""
        return {lane: commit.pid for lane, commit in self.latest().items()}

    def attempts(self) -> dict[str, str]:
        """Lane name to "<attempt>:<pid>:<nonce>" of its newest commit: equal means that nothing was started anew."""
        return {lane: commit.by for lane, commit in self.latest().items()}

    def lanes_of(self, pids: Collection[int]) -> set[str]:
        return {lane for lane, pid in self.pids().items() if pid in pids}

    def first_s(self, lanes: Collection[str], *, after_s: float, not_by: Collection[int] = ()) -> dict[str, float]:
        """Lane name to when its first commit after ``after_s`` was seen, those of some processes left out."""
        found: dict[str, float] = {}
        for commit in self.all():
            if commit.lane in lanes and commit.at_s > after_s and commit.pid not in not_by:
                found.setdefault(commit.lane, commit.at_s)
        return found

    def broken_rules(self) -> list[str]:
        """What no fault may ever cause: a commit number twice or left out, an owner that comes back."""
        lanes: dict[str, list[Commit]] = defaultdict(list)
        for commit in self.all():
            lanes[commit.lane].append(commit)
        broken = []
        for lane, commits in lanes.items():
            for before, after in zip(commits, commits[1:], strict=False):
                if after.c != before.c + 1:
                    broken.append(f"{lane}: commit {after.c} by {after.by} follows {before.c} by {before.by}")
            owners = [by for by, _ in groupby(commits, key=lambda commit: commit.by)]
            if len(owners) != len(set(owners)):
                broken.append(f"{lane}: an owner came back: {owners}")
        return broken

    def story(self, now_s: float) -> str:
        """One line per lane: last commit, whose, how long ago, how far it has read."""
        return "\n".join(
            f"{lane}: c {c.c} by {c.by}, {now_s - c.at_s:.1f} s ago, at {c.positions}"
            for lane, c in sorted(self.latest().items())
        )
