"""What an explained clip leaves in a folder: overlay videos, a contact sheet, JSON and the arrays."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from service.client.clips import picture_files
from service.client.results import Result
from service.documents import answer_document
from service.media.contact_sheet import contact_sheet
from service.media.display import decode_for_display
from service.media.overlay import blend, write_mp4
from service.naming import distinct
from service.settings import Limits

_DISPLAY_SIDE = 640
# Where a clip does not say how fast it is.
_DEFAULT_FPS = 10.0


def write_results(
    folder: Path, name: str, clip: Path, result: Result, limits: Limits, progress: Callable[[str], None]
) -> list[Path]:
    """Write everything about one clip and return the paths, in the order in which people look at them.

    `NAME.METHOD.mp4` per explanation over time and space, `NAME.sheet.png`, `NAME.json` (arrays are named by their
    keys in the NPZ) and `NAME.npz`. Each file appears whole or not at all; what was there is replaced. progress: told
    what is being written. Raises InvalidArgument when the clip cannot be read any more, OSError for the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answer = result.message
    progress("reading the frames again")
    frames = _frames(clip, result, limits)
    written: list[Path] = []
    for method, entry in result.explanations.items():
        if entry.message.WhichOneof("value") != "saliency":
            continue
        path = folder / f"{name}.{method}.mp4"
        progress(f"drawing {path.name}")
        drawn = blend(frames, entry.message, answer.frames.placement)
        with _whole(path) as part:
            write_mp4(part, drawn, _fps(result))
        written.append(path)
    path = folder / f"{name}.sheet.png"
    progress(f"drawing {path.name}")
    sheet = contact_sheet(frames, answer.prediction, list(answer.explanations), answer.frames)
    with _whole(path) as part:
        _write_png(part, sheet)
    written.append(path)
    document, arrays = answer_document(answer)
    for path, write in (
        (folder / f"{name}.json", lambda part: part.write_text(_json(document), encoding="utf-8")),
        (folder / f"{name}.npz", lambda part: _write_npz(part, arrays)),
    ):
        progress(f"writing {path.name}")
        with _whole(path) as part:
            write(part)
        written.append(path)
    return written


def result_names(clips: Sequence[Path]) -> list[str]:
    """A name for the files of each clip: its own without the suffix; "-2", "-3" ... where another has it already."""
    return distinct(clip.resolve().stem if clip.is_file() else clip.resolve().name for clip in clips)


def _frames(clip: Path, result: Result, limits: Limits) -> NDArray[np.uint8]:
    """uint8 [T, h, w, 3]: the frames that the model saw, at a size for people."""
    source = picture_files(clip) if clip.is_dir() else clip
    return decode_for_display(source, list(result.frames.used), max_side=_DISPLAY_SIDE, limits=limits)


def _fps(result: Result) -> float:
    return result.frames.effective_fps or _DEFAULT_FPS


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done
    path.write_bytes(data.tobytes())


def _write_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well, and goes otherwise."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes files that only their owner may read; results are ordinary files.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
