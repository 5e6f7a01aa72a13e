"""Which ActionLens this is: its version, and the commit that it was built from or is checked out at."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

COMMIT_FILE = "commit.txt"
"""In an installed package: what `git_state` said when it was built."""

_PACKAGE = Path(__file__).resolve().parent


def describe() -> str:
    """For people: "0.1.0 (commit abc1234, modified)"; the version alone where the commit is not known."""
    recorded = _PACKAGE / COMMIT_FILE
    state = recorded.read_text(encoding="ascii") if recorded.is_file() else git_state(_PACKAGE.parent)
    return f"{version('actionlens')} ({state})" if state else version("actionlens")


def git_state(root: Path) -> str:
    """ "commit abc1234", or "commit abc1234, modified" where tracked files differ from it; empty where `root` is no
    checkout, or git is not at hand."""
    if not (root / ".git").exists():
        return ""
    try:
        commit = _git(root, "rev-parse", "--short", "HEAD")
        return f"commit {commit}, modified" if _git(root, "status", "--porcelain", "-uno") else f"commit {commit}"
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
