"""Which ActionLens it is, from a checkout and from a package."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from actionlens import version as module
from actionlens.version import COMMIT_FILE, describe, git_state


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", folder, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_checkout_names_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    assert git_state(tmp_path) == ""
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) == ""  # no commit yet
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD")
    assert git_state(tmp_path) == f"commit {commit}"
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == f"commit {commit}, modified"


@pytest.mark.parametrize(("recorded", "shown"), [("commit abc1234", " (commit abc1234)"), ("", "")])
def test_a_package_says_what_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: str, shown: str
) -> None:
    (tmp_path / COMMIT_FILE).write_text(recorded)
    monkeypatch.setattr(module, "_PACKAGE", tmp_path)
    assert describe() == f"{version('actionlens')}{shown}"
