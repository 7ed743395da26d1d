"""A virtual environment for the workers of one job: its requirements, and the platform beneath them.

uv makes and fills it. The platform and everything installed beside it stay importable through a .pth file, behind
the job's own packages. What slot workers import is pinned to the versions installed here, so that requirements which
would break the worker are refused by uv in its own words.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import site
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from importlib import metadata
from pathlib import Path

import structlog
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential

from headrace.protocol.dependency_archive import Archive

log = structlog.get_logger(__name__)

#: uv is killed when one run of it has not ended by then.
RUN_TIMEOUT_S = 900.0
#: An index that does not answer is asked so often; uv tries several times each time.
NETWORK_ATTEMPTS = 4
NETWORK_WAIT_S, NETWORK_WAIT_S_MAX = 5, 60
#: What uv says that is kept, and what is told of it.
LINES_KEPT_MAX = 200
LINE_BYTES_MAX = 10_000
REASON_CHARS_MAX = 1_500
#: More than a pipe holds: once a process has been killed, what it still said is taken up and its end is seen.
PIPE_BYTES = 1 << 20

#: Packages that slot workers import, with all that these need; a test compares.
WORKER_PACKAGES = ("cloudpickle", "confluent-kafka", "msgspec", "pydantic", "structlog", "tenacity")

_PROGRESS = re.compile(r"(Resolved|Prepared|Installed|Downloading|Downloaded|Building|Built|Updating|Updated) .*")
_NETWORK = re.compile(
    r"error sending request|dns error|timed out|connection (refused|reset|closed)|network is unreachable"
    r"|50[234] (bad gateway|service unavailable|gateway time-?out)",
    re.IGNORECASE,
)
_NOISE = re.compile(r"(Using |Creating |warning: |Activate with|Resolved |Prepared )")


class BuildFailedError(Exception):
    """uv, or the result, says no; the text is one line. Trying again does not help."""


class _IndexAwayError(BuildFailedError):
    """The package index did not answer."""


def key_of(archive: Archive) -> str:
    """What decides about the environment's content, as a name for it."""
    content = {
        "requirements": archive.requirements,
        "wheels": {name: hashlib.sha256(data).hexdigest() for name, data in archive.wheels.items()},
        "python": [sys.version, sys.base_prefix],
        "platform": [_platform_folders(), platform_pins()],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def interpreter(environment: Path) -> str:
    """Its Python."""
    return str(environment / "bin" / "python")


async def build(environment: Path, archive: Archive, tell: Callable[[str], None]) -> None:
    """Make ``environment``, beside which files may be put. ``tell`` hears how far it is.

    Raises BuildFailedError, OSError. A build that is cancelled ends uv.
    """
    scratch = environment.parent
    await asyncio.to_thread(_write_inputs, scratch, archive)
    await _uv(["venv", "--relocatable", "--no-project", "--python", sys.executable, str(environment)], tell)
    python = interpreter(environment)
    command = ["pip", "install", "--python", python, "--requirements", str(scratch / "requirements.txt")]
    command += ["--constraints", str(scratch / "pins.txt"), "--overrides", str(scratch / "left-out.txt")]
    if archive.wheels:
        command += ["--offline", "--no-index", "--find-links", str(scratch / "wheels")]
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_IndexAwayError),
        stop=stop_after_attempt(NETWORK_ATTEMPTS),
        wait=wait_exponential(NETWORK_WAIT_S, max=NETWORK_WAIT_S_MAX),
        before_sleep=lambda state: tell(_tried(state)),
        reraise=True,
    )
    await retrying(_uv, command, tell)
    _link_platform(environment)
    check = [python, "-P", "-B", "-c", "import headrace.runtime.worker"]
    status, lines = await _run(check, lambda line: None)
    if status:
        raise BuildFailedError(f"slot workers do not start with these packages: {lines[-1] if lines else status}")


def platform_pins() -> list[str]:
    """``name==version`` of every package that slot workers need, as they are installed here."""
    found: dict[str, str] = {}
    waiting = [Requirement(name) for name in WORKER_PACKAGES]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # an optional one
        found[name] = distribution.version
        for text in distribution.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in {"", *requirement.extras}):
                waiting.append(needed)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _write_inputs(scratch: Path, archive: Archive) -> None:
    (scratch / "requirements.txt").write_text(archive.requirements, encoding="utf-8")
    (scratch / "pins.txt").write_text("\n".join(platform_pins()))
    # a requirement of the platform itself is met already, whatever it says
    (scratch / "left-out.txt").write_text("headrace ; python_version < '3'\n")
    if archive.wheels:
        (scratch / "wheels").mkdir()
        for name, data in archive.wheels.items():
            (scratch / "wheels" / name).write_bytes(data)


def _platform_folders() -> list[str]:
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [folder for folder in folders if os.path.isdir(folder)]


def _link_platform(environment: Path) -> None:
    """Folders of this interpreter's packages, with their own .pth files, behind those of the environment."""
    packages = next((environment / "lib").glob("python*/site-packages"))
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in _platform_folders()]
    (packages / "headrace-platform.pth").write_text("".join(lines))


# ---- uv


async def _uv(arguments: list[str], tell: Callable[[str], None]) -> None:
    status, lines = await _run([_uv_command(), *arguments, "--color", "never"], tell)
    if status == 0:
        return
    reason = _reason(lines) or f"uv ended with status {status}"
    log.warning("environment.uv_failed", arguments=arguments, status=status, output="\n".join(lines)[-4000:])
    raise (_IndexAwayError if _NETWORK.search(reason) else BuildFailedError)(reason)


async def _run(command: list[str], tell: Callable[[str], None]) -> tuple[int, list[str]]:
    """Exit status and last lines of a command in a process group of its own, which ends with this call."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=_uv_environment(),
        limit=PIPE_BYTES,
        start_new_session=True,
    )
    lines: deque[str] = deque(maxlen=LINES_KEPT_MAX)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            async for line in _lines(process.stderr):
                lines.append(line)
                if _PROGRESS.fullmatch(line.strip()):
                    tell(line.strip())
            return await process.wait(), [*lines]
    except TimeoutError:
        raise BuildFailedError(f"not done after {RUN_TIMEOUT_S:.0f} s: {lines[-1] if lines else 'no word'}") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines as text, of those that are too long the end."""
    left = b""
    while chunk := await stream.read(65_536):
        *whole, left = (left + chunk).split(b"\n")
        left = left[-LINE_BYTES_MAX:]
        for line in whole:
            yield line[-LINE_BYTES_MAX:].decode(errors="replace").rstrip()
    if left:
        yield left.decode(errors="replace").rstrip()


def _uv_command() -> str:
    try:
        from uv import find_uv_bin

        return os.fsdecode(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise BuildFailedError("this TaskManager has no uv, which installs requirements: pip install uv")
    return found


def _uv_environment() -> dict[str, str]:
    """This process's, so that UV_DEFAULT_INDEX and its like hold; each build on its own, without a cache."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONHOME")}
    return environment | {
        "UV_NO_CACHE": "1",
        "UV_LINK_MODE": "copy",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NO_COLOR": "1",
    }


def _reason(lines: list[str]) -> str:
    """uv's own words in one line, without its drawings; and what is pinned, when it speaks of that."""
    words = [re.sub(r"^[\s×│├╰─▶]*(error: )?", "", line) for line in lines if not _NOISE.match(line)]
    text = re.sub(r":? (?:cause|Caused by): ", ": ", " ".join(word for word in words if word)).rstrip(".")
    if len(text) > REASON_CHARS_MAX:
        text = f"{text[: REASON_CHARS_MAX - 4]} ..."
    pins = [pin for pin in platform_pins() if re.search(rf"\b{re.escape(pin)}(?![\w.]*\w)", text)]
    return f"{text} (slot workers themselves need {' and '.join(pins)})" if pins else text


def _tried(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome is not None else None
    wait_s = state.next_action.sleep if state.next_action is not None else 0
    return f"trying again in {wait_s:.0f} s after: {error}"
