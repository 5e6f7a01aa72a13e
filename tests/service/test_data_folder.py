"""The data folder is made for its owner alone, and an open one is named with the command that closes it."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from service.data_folder import prepare


@pytest.fixture(autouse=True)
def _usual_umask() -> object:
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_folder_is_private_and_its_parents_are_usual(tmp_path: Path) -> None:
    folder = tmp_path / "share" / "actionlens"
    assert prepare(folder) == ""
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o755)
    assert prepare(folder) == ""


def test_an_open_folder_stays_and_the_command_that_is_said_closes_it(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir(mode=0o755)
    said = prepare(folder)
    assert "mode 755" in said
    assert folder.stat().st_mode & 0o777 == 0o755
    subprocess.run(shlex.split(said.partition("close it: ")[2]), check=True)
    assert prepare(folder) == ""


def test_a_folder_that_cannot_be_made_is_for_others_to_tell(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert prepare(tmp_path / "file" / "data") == ""
