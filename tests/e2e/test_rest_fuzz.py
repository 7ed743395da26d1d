"""Whatever its own description allows, and whatever it does not: REST answers, and never with a 500.

schemathesis makes requests out of the OpenAPI document, valid ones and broken ones, and checks every answer against
it. The Dispatcher is a real one, so what is accepted becomes a job.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.rest_site import RestSite
from tests.unit.dispatcher.submissions import submit

from headrace.ids import new_job_id

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

EXAMPLES = 15
RUN_S = 250
#: A valid document is not always a valid submission: graphs have rules that a schema cannot say.
LEFT_OUT = "positive_data_acceptance"


@pytest.fixture
def site(tmp_path: Path, kafka: str, redis: str, namespace: str) -> Iterator[RestSite]:
    site = RestSite(tmp_path, kafka, redis, namespace)
    try:
        site.dispatcher.wait_acting()
        yield site
    finally:
        site.close()


def test_no_request_breaks_it(site: RestSite, tmp_path: Path) -> None:
    job = new_job_id()
    assert site.ask("POST", "/api/v1/jobs", json=submit(job)).status_code == 202
    (tmp_path / "schemathesis.toml").write_text(f'[parameters]\n"path.job_id" = "{job}"\n')
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{site.url}/api/v1/openapi.json"),
        *("--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1"),
        *("--exclude-checks", LEFT_OUT, "--request-timeout", "30", "--no-color", "--continue-on-failure"),
    ]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("HEADRACE_", "SCHEMATHESIS"))
    }
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert site.ask("GET", "/health").status_code == 200
    assert "Traceback" not in site.dispatcher.output.read_text()
    for each in site.get("/api/v1/jobs")["jobs"]:
        if each["status"] not in ("CANCELED", "FAILED", "FINISHED"):
            site.ask("POST", f"/api/v1/jobs/{each['job_id']}/cancel")
