"""The archive of what goes along with a job beside its functions: a zip file in ``<ns>.artifacts``.

    requirements.txt    the packages that the job needs, as pip writes them; absent without requirements
    wheels/<name>       distributions to install them from; when there are any, nothing is fetched from an index
    files/<n>/...       the n-th folder that goes on the worker's sys.path

The same contents give the same bytes. Pure: no I/O.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

REQUIREMENTS = "requirements.txt"
WHEELS = "wheels/"
FILES = "files/"

#: An archive, and what it unpacks to: it passes through the memory of client and TaskManager.
ARCHIVE_BYTES_MAX = 256_000_000
UNPACKED_BYTES_MAX = 1_000_000_000
ENTRIES_MAX = 50_000

_EPOCH = (1980, 1, 1, 0, 0, 0)


class ArchiveError(ValueError):
    """The bytes are no archive of dependencies; the text says why."""


@dataclass(frozen=True)
class Archive:
    """Contents by name. ``files`` has one map of relative path to bytes for each folder."""

    requirements: str = ""
    wheels: Mapping[str, bytes] = field(default_factory=dict)
    files: Sequence[Mapping[str, bytes]] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements.strip() or self.wheels or self.files)

    def pack(self) -> bytes:
        """The archive's bytes."""
        entries = {f"{WHEELS}{name}": data for name, data in self.wheels.items()}
        for number, folder in enumerate(self.files):
            entries |= {f"{FILES}{number}/{path}": data for path, data in folder.items()}
        if self.requirements:
            entries[REQUIREMENTS] = self.requirements.encode()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name in sorted(entries):
                info = zipfile.ZipInfo(name, _EPOCH)
                # wheels are compressed already
                info.compress_type = zipfile.ZIP_STORED if name.startswith(WHEELS) else zipfile.ZIP_DEFLATED
                archive.writestr(info, entries[name])
        return packed.getvalue()


def unpack(data: bytes) -> Archive:
    """Read an archive, which anybody may have written. Raises ArchiveError."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if len(infos) > ENTRIES_MAX:
                raise ArchiveError(f"it has {len(infos):,} entries, over {ENTRIES_MAX:,}")
            if sum(info.file_size for info in infos) > UNPACKED_BYTES_MAX:
                raise ArchiveError(f"it unpacks to more than {UNPACKED_BYTES_MAX // 1_000_000:,} MB")
            return _sorted_out({info.filename: archive.read(info) for info in infos})
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ArchiveError(f"it is no zip file that can be read: {error}") from error


def _sorted_out(entries: dict[str, bytes]) -> Archive:
    requirements, wheels = "", {}
    folders: dict[int, dict[str, bytes]] = {}
    for name, data in entries.items():
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise ArchiveError(f"entry {name!r:.200} leads out of it")
        if name == REQUIREMENTS:
            requirements = data.decode(errors="replace")
        elif name.startswith(WHEELS) and len(parts) == 2:
            wheels[parts[1]] = data
        elif name.startswith(FILES) and len(parts) > 2 and parts[1].isdecimal():
            folders.setdefault(int(parts[1]), {})["/".join(parts[2:])] = data
        else:
            raise ArchiveError(
                f"it has an entry {name!r:.200}; there may be {REQUIREMENTS}, {WHEELS} and {FILES}<n>/"
            )
    return Archive(requirements, wheels, [folders[number] for number in sorted(folders)])
