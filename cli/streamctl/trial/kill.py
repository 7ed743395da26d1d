"""A slot worker killed, and how long its lanes took to commit again."""

from __future__ import annotations

from dataclasses import dataclass

from streamctl.trial.commits import Commit


@dataclass(frozen=True)
class Kill:
    """A slot worker killed: when, with which lanes, and when these committed again."""

    pid: int
    lanes: frozenset[str]
    at_s: float
    committed_at_kill: int
    first_commit_s: float | None = None
    last_lane_s: float | None = None
    back: frozenset[str] = frozenset()

    def after(self, commit: Commit) -> Kill:
        """The kill once a commit is known: of one of its lanes, by another process."""
        if commit.lane not in self.lanes or commit.pid == self.pid or commit.lane in self.back:
            return self
        took_s = commit.at_s - self.at_s
        return Kill(
            self.pid,
            self.lanes,
            self.at_s,
            self.committed_at_kill,
            first_commit_s=self.first_commit_s if self.first_commit_s is not None else took_s,
            last_lane_s=took_s,
            back=self.back | {commit.lane},
        )

    @property
    def over(self) -> bool:
        """Whether all its lanes have committed again."""
        return self.back == self.lanes
