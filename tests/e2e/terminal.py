"""A shell that commands are typed into, as a person at a terminal does: folder, variables and jobs stay."""

from __future__ import annotations

import os
import secrets
import selectors
import subprocess
import time
from pathlib import Path
from types import TracebackType

END_S = 20.0


class Terminal:
    """One bash. What commands write to stdout and stderr comes as one text, as it appears on a screen."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._said = bytearray()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def run(self, commands: str, *, timeout_s: float) -> tuple[int, str]:
        """Type the commands; exit status of the last one, and what all of them printed.

        Raises AssertionError with what was printed when they do not end in time, or end the shell.
        """
        mark = secrets.token_hex(8)
        assert self._process.stdin is not None
        self._process.stdin.write(f'{commands.rstrip()}\necho "{mark} $?"\n'.encode())
        self._process.stdin.flush()
        deadline_s = time.monotonic() + timeout_s
        while (at := self._said.find(mark.encode())) < 0 or b"\n" not in self._said[at:]:
            if not self._read(deadline_s - time.monotonic()):
                said = self._said.decode(errors="replace")
                raise AssertionError(
                    f"these ended the shell, or did not end within {timeout_s:g} s:\n{commands}\n{said}"
                )
        output, _, rest = bytes(self._said).partition(mark.encode())
        status, _, left = rest.partition(b"\n")
        self._said = bytearray(left)
        return int(status), output.decode()

    def _read(self, timeout_s: float) -> bool:
        """Take what the shell has said since; False when it said nothing more."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if timeout_s <= 0 or not selector.select(timeout_s):
                return False
        data = os.read(self._process.stdout.fileno(), 1 << 16)
        self._said += data
        return bool(data)

    def close(self) -> None:
        """End the shell; what it left running goes on."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
