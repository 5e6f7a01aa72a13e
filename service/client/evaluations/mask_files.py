"""Reads exact masks of a clip's frames: an NPZ or NPY file, a folder of PNG files, a file of several pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from actionlens.extras import needing
from service.client.clip_messages import image_files
from service.errors import InvalidArgument

if TYPE_CHECKING:
    from PIL import Image

_NUMPY = (".npz", ".npy")
_PICTURES = (".png",)


def read_masks(path: Path) -> NDArray[np.bool_]:
    """The masks of source frames 0, 1, 2 ..., bool [frames, height, width]: what is not 0 is the object.

    path: an NPZ file with one array or one named "mask", or an NPY file, [frames, height, width]; a folder of PNG
    files in natural order; or a TIFF, GIF or APNG file of one picture a frame. Pictures need the extra `media`. Raises
    InvalidArgument that names the file.
    """
    if path.suffix.lower() in _NUMPY:
        return _checked(_array(path), path)
    with needing("media"):
        from PIL import Image, ImageSequence, UnidentifiedImageError
    try:
        if path.is_dir():
            files = [file for file in image_files(path) if file.suffix.lower() in _PICTURES]
            if not files:
                raise _wrong(path, "holds no PNG files; JPEG smears the edges of masks")
            planes = []
            for file in files:
                with Image.open(file) as picture:
                    planes.append(_plane(picture))
        else:
            with Image.open(path) as film:
                planes = [_plane(picture) for picture in ImageSequence.Iterator(film)]
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise _wrong(path, f"cannot be read as masks ({error}); use NPZ, a folder of PNG files, TIFF or GIF") from None
    return _checked(_stacked(planes, path), path)


def _checked(masks: NDArray[np.bool_], path: Path) -> NDArray[np.bool_]:
    if masks.ndim != 3 or not masks.size:
        raise _wrong(path, f"has the shape {list(masks.shape)}; masks are [frames, height, width]")
    return masks


def _array(path: Path) -> NDArray[np.bool_]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            found = loaded
        else:
            with loaded:
                names = list(loaded.files)
                if len(names) != 1 and "mask" not in names:
                    raise _wrong(path, f"holds {len(names)} arrays; name that of the masks 'mask'")
                found = loaded["mask" if "mask" in names else names[0]]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise _wrong(path, f"cannot be read as NumPy arrays ({error}); write it with numpy.savez_compressed") from None
    if found.dtype.kind not in "buif":
        raise _wrong(path, f"holds {found.dtype}; masks are bool, or numbers that are not 0 at the object")
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise _wrong(path, "holds numbers that are not finite; masks are bool")
    return np.asarray(found != 0)


def _plane(picture: Image.Image) -> NDArray[np.bool_]:
    """The picture, not 0 in any colour; transparency is no colour."""
    if picture.mode in ("1", "L", "I", "F", "I;16"):
        return np.asarray(np.asarray(picture) != 0)
    if picture.mode == "P":
        # Numbers of objects are common here, and the palette is for people.
        return np.asarray(np.asarray(picture) != 0)
    return np.asarray(np.asarray(picture.convert("RGB")).any(axis=2))


def _stacked(planes: Sequence[NDArray[np.bool_]], path: Path) -> NDArray[np.bool_]:
    for number, plane in enumerate(planes):
        if plane.shape != planes[0].shape:
            (h, w), (height, width) = plane.shape, planes[0].shape
            raise _wrong(path, f"mask {number} is {w} x {h}, the first {width} x {height}; make them one size")
    return np.stack(planes)


def _wrong(path: Path, why: str) -> InvalidArgument:
    return InvalidArgument(f"mask: {path.name} {why}", reason="BAD_TRUTH")
