"""Notices when files change."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[tuple[int, int, int] | None, ...]


def stamp(*paths: Path) -> Stamp:
    """What tells one content of the files from another: inode, size and time of change of each; None: it is absent."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            told = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((told.st_ino, told.st_size, told.st_mtime_ns))
    return tuple(found)
