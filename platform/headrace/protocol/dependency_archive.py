"""The archive of what goes along with a job beside its functions: a zip file in ``<ns>.artifacts``.

    requirements.txt    the packages that the job needs, as pip writes them; absent without requirements
    wheels/<name>       distributions to install them from; when there are any, nothing is fetched from an index
    files/<n>/...       the n-th folder that goes on the worker's sys.path

The same contents give the same bytes. Pure: no I/O.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

REQUIREMENTS = "requirements.txt"
WHEELS = "wheels/"
FILES = "files/"

#: An archive, and what it unpacks to: it passes through the memory of client and TaskManager.
ARCHIVE_BYTES_MAX = 256_000_000
UNPACKED_BYTES_MAX = 1_000_000_000
ENTRIES_MAX = 50_000
#: Of one part of an entry's name, as file systems have it, and of the whole.
PART_BYTES_MAX, NAME_BYTES_MAX = 255, 2_000

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
            _check_sizes(infos)
            entries = {info.filename: _read(archive, info) for info in infos}
    except ArchiveError:
        raise
    except _UNREADABLE as error:
        raise ArchiveError(f"it is no zip file that can be read: {error}") from error
    return _sorted_out(entries)


#: What zipfile raises for bytes that are none.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
)


def _check_sizes(infos: Sequence[zipfile.ZipInfo]) -> None:
    """By what the entries say; ``_read`` takes no more of them."""
    if len(infos) > ENTRIES_MAX:
        raise ArchiveError(f"it has {len(infos):,} entries, over {ENTRIES_MAX:,}")
    if sum(info.file_size for info in infos) > UNPACKED_BYTES_MAX:
        raise ArchiveError(f"it unpacks to more than {UNPACKED_BYTES_MAX // 1_000_000:,} MB")
    for info in infos:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArchiveError(f"entry {info.filename!r:.200} is compressed otherwise than with deflate")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """An entry that is as long as it says: read without a limit, zipfile first unpacks all there is of it."""
    with archive.open(info) as entry:
        return entry.read(info.file_size + 1)


def _sorted_out(entries: dict[str, bytes]) -> Archive:
    requirements, wheels = "", {}
    folders: dict[int, dict[str, bytes]] = {}
    for name, data in entries.items():
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise ArchiveError(f"entry {name!r:.200} leads out of it")
        if len(name.encode()) > NAME_BYTES_MAX or any(len(part.encode()) > PART_BYTES_MAX for part in parts):
            raise ArchiveError(f"the name of entry {name!r:.200} is too long for a file")
        if any("/".join(parts[:depth]) in entries for depth in range(1, len(parts))):
            raise ArchiveError(f"entry {name!r:.200} lies in another entry, which is a file")
        if name == REQUIREMENTS:
            requirements = data.decode(errors="replace")
        elif name.startswith(WHEELS) and len(parts) == 2:
            wheels[parts[1]] = data
        elif name.startswith(FILES) and len(parts) > 2 and _is_number(parts[1]):
            folders.setdefault(int(parts[1]), {})["/".join(parts[2:])] = data
        else:
            raise ArchiveError(
                f"it has an entry {name!r:.200}; there may be {REQUIREMENTS}, {WHEELS} and {FILES}<n>/"
            )
    return Archive(requirements, wheels, [folders[number] for number in sorted(folders)])


def _is_number(text: str) -> bool:
    """As ``pack`` writes it: no other spelling names the same folder."""
    return text.isdecimal() and str(int(text)) == text
