"""The data folder is its owner's alone: what clients uploaded, and results, lie in it."""

from __future__ import annotations

import shlex
from pathlib import Path

_PRIVATE = 0o700
_OTHERS = 0o077


def prepare(folder: Path) -> str:
    """Make the folder with mode 0700 where it is absent. Returns what to tell the operator: how to close one that is
    open to others, which is left as it is; "" where there is nothing to tell.

    A folder that cannot be made is no error here: whoever needs it says so.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_PRIVATE, exist_ok=True)
        mode = folder.stat().st_mode
    except OSError:
        return ""
    if not mode & _OTHERS:
        return ""
    return (
        f"the data folder {folder} is open to other users of this machine (mode {mode & 0o777:03o}); close it: "
        f"chmod 700 {shlex.quote(str(folder))}"
    )
