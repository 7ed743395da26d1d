"""What goes along with a job beside its functions: files, and requirements with wheels to install them from.

The options have PyFlink's names and forms:

    python.files            paths separated by commas: .py files, folders, and .zip, .whl or .egg files
    python.requirements     a requirements.txt, or "requirements.txt#folder" with a folder of wheels

They name places of this machine, so they do not travel; the archive of what is there does.
"""

from __future__ import annotations

import importlib
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from headrace.common.configuration import Configuration
from headrace.datastream.options import FILES, REQUIREMENTS
from headrace.datastream.requirements import Asked, asked
from headrace.errors import UsageError
from headrace.protocol.dependency_archive import ARCHIVE_BYTES_MAX, Archive

_ARCHIVES = (".zip", ".whl", ".egg")
_DISTRIBUTIONS = (".whl", ".tar.gz", ".zip")
_LEFT_OUT = ("__pycache__", ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache")


@dataclass(frozen=True)
class Dependencies:
    """Places on this machine, checked to be there."""

    files: tuple[Path, ...] = ()
    requirements: Path | None = None
    wheels: Path | None = None

    @staticmethod
    def of(options: Configuration) -> Dependencies:
        """Those that the options name. Raises UsageError: dependency-missing, dependency-invalid."""
        named = (options.get_string(FILES) or "").split(",")
        files = tuple(_file(path.strip()) for path in named if path.strip())
        text = options.get_string(REQUIREMENTS) or ""
        requirements, _, wheels = text.partition("#")
        if wheels and not requirements:
            raise UsageError(
                "dependency-invalid",
                f"a folder of wheels, {wheels}, without requirements to install from it",
                hint="give a requirements.txt too; it may be one line for each wheel",
            )
        return Dependencies(
            tuple(dict.fromkeys(files)),
            _there(requirements, "requirements") if requirements else None,
            _folder(wheels) if wheels else None,
        )

    def asked(self) -> list[Asked]:
        """The requirements. Raises UsageError (requirements-invalid)."""
        return [] if self.requirements is None else asked(_text(self.requirements), self.requirements.name)

    def search_path(self) -> list[str]:
        """What goes on sys.path so that the files can be imported here as they are on a worker."""
        return [str(_import_root(path)) for path in self.files]

    def make_importable(self) -> None:
        """Put the files on this process's sys.path, first; once."""
        for entry in reversed(self.search_path()):
            if entry not in sys.path:
                sys.path.insert(0, entry)
        importlib.invalidate_caches()

    def archive(self) -> bytes:
        """The archive that travels; empty when there is nothing.

        Raises UsageError: requirements-invalid, dependency-invalid, dependencies-too-large.
        """
        self.asked()
        archive = Archive(
            "" if self.requirements is None else _text(self.requirements),
            {} if self.wheels is None else _wheels(self.wheels),
            [_contents(path) for path in self.files],
        )
        packed = archive.pack() if archive else b""
        if len(packed) > ARCHIVE_BYTES_MAX:
            raise UsageError(
                "dependencies-too-large",
                f"files and wheels of the job take {len(packed):,} bytes together; {ARCHIVE_BYTES_MAX:,} travel",
                hint="install large packages on the TaskManagers, or put data where workers can read it",
            )
        return packed


def _there(path: str, what: str) -> Path:
    found = Path(path).expanduser().absolute()
    if not found.exists():
        raise UsageError("dependency-missing", f"no such file: {path} ({what} of the job)")
    return found


def _file(path: str) -> Path:
    found = _there(path, "files")
    if not (found.is_dir() or found.name.endswith((".py", *_ARCHIVES))):
        raise UsageError(
            "dependency-invalid",
            f"{path} cannot be put on sys.path",
            hint="give a .py file, a folder, or a .zip, .whl or .egg file; a data file goes in a folder",
        )
    return found


def _folder(path: str) -> Path:
    found = _there(path, "wheels")
    if not found.is_dir():
        raise UsageError("dependency-invalid", f"{path} is no folder of wheels")
    if not _distributions(found):
        raise UsageError(
            "dependency-invalid",
            f"the folder {path} has no wheels",
            hint="fill it with `pip download -r requirements.txt -d FOLDER`, run with the workers' Python",
        )
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("requirements-invalid", f"{path} cannot be read: {error}") from None


def _import_root(path: Path) -> Path:
    """A package or a module is imported from the folder it is in, everything else from itself."""
    return path.parent if path.suffix == ".py" or (path / "__init__.py").exists() else path


def _distributions(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(_DISTRIBUTIONS))


def _wheels(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in _distributions(folder)}


def _contents(path: Path) -> dict[str, bytes]:
    """Relative path to bytes, of what one entry of python.files brings."""
    if path.is_dir():
        root = _import_root(path)
        found = [each for each in sorted(path.rglob("*")) if each.is_file() and _travels(each.relative_to(path))]
        return {each.relative_to(root).as_posix(): each.read_bytes() for each in found}
    if path.suffix == ".py":
        return {path.name: path.read_bytes()}
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise UsageError("dependency-invalid", f"{path} is no zip file that can be read: {error}") from None


def _travels(path: Path) -> bool:
    return not any(part in _LEFT_OUT for part in path.parts) and path.suffix != ".pyc"
