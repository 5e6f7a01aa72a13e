"""Writes the files of an explained clip: overlay videos, a contact sheet, JSON and the arrays."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from actionlens.extras import lacks
from actionlens.v1 import answer_pb2
from service.client.clip_messages import image_files
from service.client.results import Result
from service.rendering.json_document import answer_document, json_file, npz_file
from service.settings import Limits
from service.unique_names import distinct


def write_results(
    folder: Path, name: str, clip: Path, result: Result, limits: Limits, progress: Callable[[str], None]
) -> list[Path]:
    """Write everything about one clip and return the paths, in the order in which people look at them.

    `NAME.METHOD.mp4` per explanation over space or with a value per frame, `NAME.sheet.png`, `NAME.json` (arrays are
    named by their keys in the NPZ) and `NAME.npz`. Each file appears whole or not at all; what was there is replaced.
    Without the extra `media`, the JSON and NPZ files alone. progress: called with a description of each step. Raises
    InvalidArgument when the clip cannot be read any more, and OSError for the disk.
    """
    answer = result.message
    contents: dict[str, Callable[[], bytes | None]] = {}
    if not lacks("media"):
        progress("reading the frames again")
        contents = _drawings(name, clip, result, limits)
    document, arrays = answer_document(answer)
    contents[f"{name}.json"] = partial(json_file, document)
    contents[f"{name}.npz"] = partial(npz_file, arrays)
    written: list[Path] = []
    for file, make in contents.items():
        progress(f"drawing {file}")
        data = make()
        if data is not None:
            written.append(write_file(folder / file, data))
    return written


def write_file(path: Path, data: bytes) -> Path:
    """Write a file, its folder included, so that it appears whole or not at all; what was there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        part.write_bytes(data)
        # mkstemp makes files that only their owner may read; results are ordinary files.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def result_names(clips: Sequence[Path]) -> list[str]:
    """A name for the files of each clip: its own without the suffix; "-2", "-3" ... where another has it already."""
    return distinct(clip.resolve().stem if clip.is_file() else clip.resolve().name for clip in clips)


def _drawings(name: str, clip: Path, result: Result, limits: Limits) -> dict[str, Callable[[], bytes | None]]:
    """The functions that draw each image and video, over the frames that the model saw at a size for people."""
    # Late: these bring OpenCV, FFmpeg and Pillow, which a client need not have.
    from service.decoding.display import decode_for_display
    from service.rendering.files import DISPLAY_SIDE, mp4_file, png_file

    answer: answer_pb2.Answer = result.message
    source = image_files(clip) if clip.is_dir() else clip
    frames = decode_for_display(source, list(answer.frames.used), max_side=DISPLAY_SIDE, limits=limits)
    contents: dict[str, Callable[[], bytes | None]] = {}
    for method, entry in result.explanations.items():
        contents[f"{name}.{method}.mp4"] = partial(mp4_file, frames, entry.message, answer.frames)
    contents[f"{name}.sheet.png"] = partial(png_file, frames, answer)
    return contents
