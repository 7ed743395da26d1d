"""Kafka's jars: fetched from a Maven repository one by one, checked against a committed lock file.

The lock names each jar with its SHA-256 and size, so neither the repository nor the network has to be trusted.
A jar appears in the target directory only after it was checked, by one rename: an interrupted fetch is
continued by the next one. Two processes may fetch at once; the second waits and finds everything there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from headrace.embedded.disk import make_directory, require_free_space
from headrace.errors import HeadraceError, UnavailableError

DOWNLOADS_AT_ONCE = 8
ATTEMPTS = 3
REQUEST_TIMEOUT_S = 20
#: How long a second process waits for the first one's fetch.
LOCK_TIMEOUT_S = 600
STAGING = ".fetch-"

#: Called after each jar that is in place: jars done, jars in all, bytes done, bytes in all.
Progress = Callable[[int, int, int, int], None]


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


@dataclass(frozen=True)
class JarLock:
    """All jars of one release, in class path order."""

    jars: tuple[Jar, ...]
    sha256: str

    @property
    def size_bytes(self) -> int:
        return sum(jar.size_bytes for jar in self.jars)

    @property
    def key(self) -> str:
        """Short name of this exact set of jars, for directories and caches."""
        return self.sha256[:16]

    @staticmethod
    def parse(text: str) -> JarLock:
        """Lines ``group:artifact:version sha256 size``; ``#`` starts a comment. Raises ValueError naming the line."""
        jars = []
        for number, line in enumerate(text.splitlines(), 1):
            fields = line.split("#", 1)[0].split()
            if not fields:
                continue
            try:
                coordinate, sha256, size = fields
                group, artifact, version = coordinate.split(":")
                jar = Jar(group, artifact, version, sha256, int(size))
            except ValueError as error:
                raise ValueError(
                    f"line {number} of the jar lock is not 'coordinate sha256 size': {line!r}"
                ) from error
            if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
                raise ValueError(f"line {number} of the jar lock: {sha256!r} is not a SHA-256")
            jars.append(jar)
        jars.sort(key=lambda jar: jar.file_name)
        content = "\n".join(f"{jar.coordinate} {jar.sha256} {jar.size_bytes}" for jar in jars)
        return JarLock(tuple(jars), hashlib.sha256(content.encode()).hexdigest())

    @staticmethod
    def shipped() -> JarLock:
        """The lock file that is part of this package."""
        return JarLock.parse(files("headrace.embedded").joinpath("kafka.lock").read_text())


class _WrongContentError(Exception):
    """What the repository sent is not the jar of the lock file."""


def fetch_jars(
    lock: JarLock, directory: Path, *, maven_repo: str | None, progress: Progress | None = None
) -> list[Path]:
    """Make every jar of the lock present and checked in ``directory``; the class path, in its fixed order.

    ``maven_repo`` is a URL or a local directory in Maven layout; None: the library's default repository.
    Jars that are there are trusted while size and time are those seen when they were last hashed.
    Raises HeadraceError: ``maven-unreachable`` (retrying later is safe), ``jar-checksum``, ``disk-full``.
    """
    make_directory(directory)
    with _fetch_lock(directory):
        seen = _Seen(directory)
        missing = [jar for jar in lock.jars if not seen.holds(jar)]
        done = [len(lock.jars) - len(missing), lock.size_bytes - sum(jar.size_bytes for jar in missing)]
        if missing:
            require_free_space(directory, 2 * sum(jar.size_bytes for jar in missing), "Kafka's jars")
            for left in directory.glob(f"{STAGING}*"):  # of a fetch that was killed
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=directory, prefix=STAGING) as staging:
                with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
                    fetched = pool.map(lambda jar: _fetch(jar, directory, Path(staging), maven_repo), missing)
                    for jar, _ in zip(missing, fetched, strict=True):
                        done[0] += 1
                        done[1] += jar.size_bytes
                        if progress:
                            progress(done[0], len(lock.jars), done[1], lock.size_bytes)
            seen.remember(lock)
    return [directory / jar.file_name for jar in lock.jars]


@contextmanager
def _fetch_lock(directory: Path) -> Iterator[None]:
    try:
        with FileLock(directory / ".lock", timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise UnavailableError(
            "cluster-busy", f"another process has been fetching Kafka's jars for {LOCK_TIMEOUT_S} s"
        ) from error


class _Seen:
    """Size and modification time of each jar when its hash was last found right."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "verified.json"
        try:
            self._stamps: dict[str, list[int]] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            self._stamps = {}

    def holds(self, jar: Jar) -> bool:
        path = self._directory / jar.file_name
        try:
            stamp = _stamp(path)
        except FileNotFoundError:
            return False
        if stamp[0] != jar.size_bytes:
            return False
        return self._stamps.get(jar.file_name) == stamp or _sha256(path) == jar.sha256

    def remember(self, lock: JarLock) -> None:
        stamps = {jar.file_name: _stamp(self._directory / jar.file_name) for jar in lock.jars}
        part = self._file.with_suffix(".part")
        part.write_text(json.dumps(stamps))
        os.replace(part, self._file)


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(jar: Jar, directory: Path, staging: Path, maven_repo: str | None) -> None:
    """Download one jar into ``staging``, check it, move it to its place."""
    retries = Retrying(
        retry=retry_if_exception_type((OSError, RuntimeError, _WrongContentError)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.5, max=4),
        reraise=True,
    )
    try:
        retries(_fetch_once, jar, directory, staging, maven_repo)
    except _WrongContentError as error:
        raise HeadraceError(
            "jar-checksum",
            f"{jar.coordinate} from {maven_repo or 'the default Maven repository'} is not the expected file: {error}",
            hint="the repository or something on the way changed it; set HEADRACE_MAVEN_REPO to a sound one",
        ) from error
    except (OSError, RuntimeError) as error:  # jgo: RuntimeError when no repository answers 200
        raise UnavailableError(
            "maven-unreachable",
            f"could not fetch {jar.coordinate} from {maven_repo or 'the default Maven repository'}: {_reason(error)}",
            hint="check the network or proxy, or set HEADRACE_MAVEN_REPO to a repository you can reach",
        ) from error


def _reason(error: BaseException) -> str:
    """The innermost cause in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def _fetch_once(jar: Jar, directory: Path, staging: Path, maven_repo: str | None) -> None:
    part = Path(tempfile.mkdtemp(dir=staging))
    try:
        source = (
            _maven(part, maven_repo).project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        )
        target = part / "checked"
        shutil.copyfile(source, target)  # a copy: a local repository is not ours to move files out of
        size, sha256 = target.stat().st_size, _sha256(target)
        if (size, sha256) != (jar.size_bytes, jar.sha256):
            raise _WrongContentError(
                f"{size} bytes with sha256 {sha256}, expected {jar.size_bytes} bytes with {jar.sha256}"
            )
        os.replace(target, directory / jar.file_name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _maven(cache: Path, maven_repo: str | None):  # type: ignore[no-untyped-def]  # jgo has no types
    from jgo.maven import MavenContext  # 0.3 s of imports, needed once

    logging.getLogger("jgo").setLevel(logging.ERROR)  # its checksum warning is ours to give
    if maven_repo is None:
        return MavenContext(repo_cache=cache, timeout=REQUEST_TIMEOUT_S)
    local = _local_path(maven_repo)
    if local is not None:
        return MavenContext(repo_cache=cache, local_repos=[local], remote_repos={}, timeout=REQUEST_TIMEOUT_S)
    remote = {"configured": maven_repo.rstrip("/")}
    return MavenContext(repo_cache=cache, remote_repos=remote, timeout=REQUEST_TIMEOUT_S)


def _local_path(maven_repo: str) -> Path | None:
    url = urlsplit(maven_repo)
    if url.scheme == "file":
        return Path(unquote(url.path))
    return Path(maven_repo) if "://" not in maven_repo else None
