"""``/api/v1``: what changes something. Each request goes through Kafka and is answered by its event.

POST /jobs                  a submission of the public contract
POST /jobs/{job_id}/cancel  ends a job
PUT  /artifacts/{sha256}    stores a code package that a submission then names
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel

from headrace.dispatcher.messages import Unreadable, read_message
from headrace.ids import new_request_id
from headrace.protocol.control import JobEvent
from headrace.protocol.submission import SUBMISSION_BYTES_MAX, Cancel, Submit, UploadedCode
from headrace.rest.artifacts import Artifacts
from headrace.rest.bodies import read_body, refuse_unknown_query, require_json
from headrace.rest.errors import RequestError
from headrace.rest.inbox import Inbox
from headrace.rest.services import Services

CANCEL_BYTES_MAX = 1_000

Sha256Path = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]
JobIdPath = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


def router(services: Services, inbox: Inbox) -> APIRouter:
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_unknown_query)], tags=["requests"])
    artifacts = Artifacts(services.log, services.topics)

    @api.post("/jobs", status_code=202, openapi_extra=_json_body(Submit))
    async def submit(request: Request) -> JobEvent:
        """Start a job. The body is the submission contract (docs/contract), the answer the event that accepts it.

        Sending the same submission again is safe: it is acknowledged again and never started twice.
        """
        require_json(request)
        body = await read_body(request, SUBMISSION_BYTES_MAX)
        read = read_message(body)
        if isinstance(read, Unreadable):
            raise RequestError(read.code, read.reason, hint="docs/contract describes a submission")
        if not isinstance(read.message, Submit):
            raise RequestError(
                "submission-invalid", "type: must be submit here", hint="POST /api/v1/jobs/<job id>/cancel cancels"
            )
        return await inbox.ask(read.message.job_id, read.message.request_id, body)

    @api.post("/jobs/{job_id}/cancel", status_code=202)
    async def cancel(job_id: JobIdPath, request: Request) -> JobEvent:
        """End a job now; what it has committed stands. The answer is the event that accepts it.

        Without a body. Asking again is safe: DONE while it is ending, job-ended afterwards.
        """
        if await read_body(request, CANCEL_BYTES_MAX):
            raise RequestError("rest-request-invalid", "a cancel has no body", hint="send it without")
        return await cancel_job(inbox, job_id)

    @api.put("/artifacts/{sha256}", status_code=201, openapi_extra=_BYTES)
    async def upload(sha256: Sha256Path, request: Request) -> UploadedCode:
        """Store a code package. The answer is what a submission carries as ``code``. Sending it again is safe."""
        return await artifacts.upload(sha256, request.stream())

    return api


async def cancel_job(inbox: Inbox, job_id: str) -> JobEvent:
    """Raises RequestError ("job-unknown", "job-ended", "cancel-refused"), and what ``Inbox.ask`` raises."""
    message = Cancel(type="cancel", request_id=new_request_id(), job_id=job_id)
    return await inbox.ask(job_id, message.request_id, message.model_dump_json().encode())


def _json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The body's schema for the OpenAPI page; the route reads the bytes itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}-Input")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
