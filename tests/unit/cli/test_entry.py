"""Ctrl-C before a command has begun."""

from __future__ import annotations

import sys
import types

import pytest

from streamctl.entry import main


class Interrupted(types.ModuleType):
    """A module during whose import Ctrl-C comes."""

    def __getattr__(self, name: str) -> object:
        if name == "main":
            raise KeyboardInterrupt
        raise AttributeError(name)


def test_ctrl_c_while_modules_are_imported_is_a_word_and_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "streamctl.app", Interrupted("streamctl.app"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
