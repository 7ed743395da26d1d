"""Which job a person means by an id, the first digits of one, or a name."""

import pytest

from headrace.errors import UsageError
from headrace.protocol.control import JobRecord
from headrace.protocol.states import JobStatus
from streamctl.rest import choose

A = JobRecord(job_id="aa" * 16, name="flights", status=JobStatus.FINISHED)
B = JobRecord(job_id="ab" * 16, name="flights", status=JobStatus.RUNNING)
C = JobRecord(job_id="ac" * 16, name="counts", status=JobStatus.RUNNING)


@pytest.mark.parametrize(
    ("text", "job"),
    [("counts", C), ("aa", A), ("ab", B), ("flights", B)],
    ids=["unique name", "prefix of an ended job", "prefix", "name that only one living job has"],
)
def test_choose_when_one_job_fits_then_its_id(text: str, job: JobRecord) -> None:
    assert choose([A, B, C], text) == job.job_id


def test_choose_when_several_fit_then_lists_them() -> None:
    with pytest.raises(UsageError, match="2 jobs fit 'a'") as raised:
        choose([A, B, C], "a")
    assert raised.value.code == "job-ambiguous"
    assert "abababababab (RUNNING), acacacacacac (RUNNING)" in raised.value.hint


@pytest.mark.parametrize("text", ["b", "", "flight"])
def test_choose_when_none_fits_then_unknown(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        choose([A, B, C], text)
    assert raised.value.code == "job-unknown"
