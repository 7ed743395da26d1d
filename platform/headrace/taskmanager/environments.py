"""Where the workers of jobs with dependencies run: files unpacked, requirements installed; each kept for the next.

<cache>/files/<sha256>            files/ of an archive, for sys.path
<cache>/environments/<key>        a virtual environment, by requirements, wheels and Python (virtual_environment)
<cache>/archives/<sha256>         archives as they were fetched
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from headrace.log.control import ControlLog
from headrace.protocol.dependency_archive import Archive, ArchiveError, unpack
from headrace.protocol.submission import UploadedCode
from headrace.taskmanager import virtual_environment
from headrace.taskmanager.code_cache import CodeCache, CodeMissingError
from headrace.taskmanager.kept_folders import KeptFolders
from headrace.taskmanager.model import Environment

log = structlog.get_logger(__name__)

#: The ones used last are kept, and all that are in use.
ARCHIVES_MAX = 10
FILES_MAX = 50
ENVIRONMENTS_MAX = 10


class NotPreparedError(Exception):
    """It cannot be made; the text begins with a code. Trying again does not help."""


class Environments:
    """Those of one TaskManager; several on one host may share ``cache``."""

    def __init__(self, control: ControlLog, topic: str, cache: Path) -> None:
        self._archives = CodeCache(control, topic, cache / "archives", files_max=ARCHIVES_MAX)
        self._files = KeptFolders(cache / "files", FILES_MAX)
        self._environments = KeptFolders(cache / "environments", ENVIRONMENTS_MAX)
        self._keys: dict[str, str] = {}  #: sha256 of an archive to the name of its environment

    async def prepare(self, dependencies: UploadedCode, tell: Callable[[str], None]) -> Environment:
        """Files and interpreter of these dependencies, made if they are not there; ``tell`` hears how far it is.

        Raises NotPreparedError, and OSError when the disk says no: trying again later may help then.
        """
        archive = await self._archive(dependencies)
        paths: tuple[str, ...] = ()
        if archive.files:
            folder = await self._files.folder(dependencies.sha256, lambda made: _write_files(made, archive))
            paths = tuple(str(folder / str(number)) for number in range(len(archive.files)))
        if not archive.requirements.strip():
            return Environment("", paths)
        key = await asyncio.to_thread(virtual_environment.key_of, archive)
        self._keys[dependencies.sha256] = key

        async def make(made: Path) -> None:
            log.info("environment.build", key=key)
            tell("installing its requirements")
            await virtual_environment.build(made, archive, lambda line: tell(f"installing its requirements: {line}"))

        try:
            environment = await self._environments.folder(key, make)
        except virtual_environment.BuildFailedError as error:
            raise NotPreparedError(
                f"requirements-failed: the job's requirements cannot be installed: {error}"
            ) from error
        log.info("environment.ready", key=key)
        return Environment(virtual_environment.interpreter(environment), paths)

    async def in_use(self, archives: Iterable[str]) -> None:
        """Say every KeptFolders.TOUCH_S which archives running jobs use, by sha256."""
        used = set(archives)
        self._keys = {sha256: key for sha256, key in self._keys.items() if sha256 in used}
        keys = list(self._keys.values())
        await asyncio.to_thread(self._files.touch, used)
        await asyncio.to_thread(self._environments.touch, keys)

    async def _archive(self, dependencies: UploadedCode) -> Archive:
        try:
            path = await self._archives.path(dependencies)
            return await asyncio.to_thread(lambda: unpack(path.read_bytes()))
        except CodeMissingError as error:
            raise NotPreparedError(f"code-missing: files and requirements of the job: {error}") from error
        except ArchiveError as error:
            raise NotPreparedError(f"dependency-invalid: the job's archive of dependencies: {error}") from error


async def _write_files(folder: Path, archive: Archive) -> None:
    def write() -> None:
        for number, contents in enumerate(archive.files):
            for path, data in contents.items():
                file = folder / str(number) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)

    await asyncio.to_thread(write)
