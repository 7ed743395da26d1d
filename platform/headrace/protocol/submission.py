"""The public contract: what anybody may produce to ``<ns>.jobs``, as JSON.

The JSON Schema of :class:`InboxMessage` is committed at docs/contract/submission.schema.json and a test
compares the two. Unknown fields are refused here; a message that does not validate goes to
``<ns>.dead-letters`` with the reason.

Pure: no I/O.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import Field, RootModel, StringConstraints

from headrace.graph.job_graph import JobGraph, Strict

JobIdText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

#: Delays and numbers of restarts end here: thirty years, and the largest int of Flink.
DELAY_MS_MAX, RESTARTS_MAX = 10**12, 2**31 - 1

#: A submission, code included, must fit one Kafka message.
SUBMISSION_BYTES_MAX = 900_000


class InlineCode(Strict):
    """The code bundle in the message itself, base64: a msgpack map of function id to cloudpickle bytes."""

    sha256: Sha256
    data: str


class UploadedCode(Strict):
    """A package already in ``<ns>.artifacts``: chunks at consecutive offsets from ``offset``."""

    sha256: Sha256
    partition: int = Field(0, ge=0, lt=2**31)
    offset: int = Field(ge=0, lt=2**62)
    chunks: int = Field(ge=1, le=10_000)


class ClientInfo(Strict):
    """What the client ran: compared with the workers', differences are reported."""

    python: str = ""
    headrace: str = ""
    packages: dict[str, str] = Field(default_factory=dict)


class FixedDelay(Strict):
    """Restart after the same delay, up to ``attempts`` times without a commit between."""

    type: Literal["fixed-delay"] = "fixed-delay"
    attempts: int = Field(3, ge=0, le=RESTARTS_MAX)
    delay_ms: int = Field(1000, ge=0, le=DELAY_MS_MAX)


class ExponentialDelay(Strict):
    """Restart after a growing delay; the first restart after a stable period is immediate.

    Flink's exponential-delay strategy; a lane that fails ``attempts`` times with no commit between fails
    the job.
    """

    type: Literal["exponential-delay"] = "exponential-delay"
    attempts: int = Field(3, ge=0, le=RESTARTS_MAX)
    initial_ms: int = Field(1000, ge=0, le=DELAY_MS_MAX)
    max_ms: int = Field(60_000, ge=0, le=DELAY_MS_MAX)
    multiplier: float = Field(1.5, ge=1, le=1000)


class NoRestart(Strict):
    """The first failure of user code fails the job."""

    type: Literal["none"] = "none"


RestartStrategy = Annotated[FixedDelay | ExponentialDelay | NoRestart, Field(discriminator="type")]


class Submit(Strict):
    """Start a job. The same job id with the same content is acknowledged again; with other content: refused."""

    version: Literal[1] = 1
    type: Literal["submit"]
    request_id: RequestId
    job_id: JobIdText
    name: str = Field(min_length=1, max_length=200)
    graph: JobGraph
    code: Annotated[InlineCode | UploadedCode, Field(union_mode="left_to_right")] | None = None
    delivery: Literal["exactly-once", "at-least-once"] = "exactly-once"
    restart: RestartStrategy = Field(default_factory=ExponentialDelay)
    config: dict[str, str] = Field(default_factory=dict, description="options by their documented names")
    client: ClientInfo = Field(default_factory=ClientInfo)
    dependencies: UploadedCode | None = Field(
        None, description="archive of requirements.txt, wheels and files, uploaded to <ns>.artifacts before"
    )

    def content_sha256(self) -> str:
        """Identity of the submission's content: all but the request id and the client's versions."""
        body = self.model_dump(mode="json", exclude={"request_id", "client", "dependencies"})
        if self.dependencies is not None:  # by hash: uploaded again, the same archive lies at another offset
            body["dependencies"] = self.dependencies.sha256
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Cancel(Strict):
    """End a job now; its last commits stand. Cancelling an ended job is refused."""

    version: Literal[1] = 1
    type: Literal["cancel"]
    request_id: RequestId
    job_id: JobIdText


class InboxMessage(RootModel[Annotated[Submit | Cancel, Field(discriminator="type")]]):
    """One message on ``<ns>.jobs``."""
