"""Makes messages of clips, sampling, targets and output options."""

from __future__ import annotations

import logging
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, clip_pb2, method_pb2, service_pb2
from service.client.method_messages import MethodLike, method_messages
from service.errors import InvalidArgument

ClipLike = str | Path | bytes | Sequence[str | Path | bytes | NDArray[np.uint8]] | NDArray[np.uint8] | clip_pb2.Clip
"""A video file, a folder of images, encoded bytes, uint8 [T, H, W, 3] RGB pixels, or a list of images of any sizes:
files, encoded bytes, or uint8 [H, W, 3] RGB arrays."""
ClassLike = int | str | None
"""A class of the model by number or by label; None: the top-1 class of the clip."""
SamplingLike = str | Sequence[int] | clip_pb2.Sampling | None
"""None (as the model card says), "uniform", "segments", "uniform:count=12", "dense:stride=2,start=0", "rate:fps=15",
"span:stride=2,start=0", "indices:0,3,6", or the indices themselves."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

_log = logging.getLogger("actionlens")
_ENCODINGS = {
    "float32": answer_pb2.VALUE_ENCODING_FLOAT32,
    "float16": answer_pb2.VALUE_ENCODING_FLOAT16,
    "uint8": answer_pb2.VALUE_ENCODING_UINT8,
}
_OVERLAYS = {"": answer_pb2.OVERLAY_FORMAT_UNSPECIFIED, "mp4": answer_pb2.OVERLAY_FORMAT_MP4}
_OVERLAYS["jpeg"] = answer_pb2.OVERLAY_FORMAT_JPEG


class QuestionOptions(TypedDict, total=False):
    """The question about a clip or a stream.

    model, version: empty is the default model and the served version. methods: what explains; none is prediction only.
    target: the class that is explained. contrast: "why target and not contrast". top_k: classes in the prediction (5).
    encoding: how arrays travel, "float32", "float16" (half the bytes) or "uint8" (a quarter). overlay: have the service
    draw it, "mp4" or "jpeg". insertion_deletion_gap: measure each explanation, at 12 more clips through the network
    (`ExplanationResult.quality`).
    """

    model: str
    version: str
    methods: Sequence[MethodLike]
    target: ClassLike
    contrast: ClassLike
    top_k: int
    encoding: str
    overlay: str
    insertion_deletion_gap: bool


class ClipOptions(QuestionOptions, total=False):
    """QuestionOptions, and for clips: sampling (which frames the model sees), fps (of images and pixels), timestamps
    (seconds on the source's clock, one per image, where their rate varies; instead of fps)."""

    sampling: SamplingLike
    fps: float
    timestamps: Sequence[float]


def clip_request(clip: ClipLike, options: ClipOptions) -> service_pb2.ExplainClipRequest:
    """The request for one clip. Raises InvalidArgument naming the field that does not fit, OSError for a file."""
    request = service_pb2.ExplainClipRequest(
        model=options.get("model", ""),
        version=options.get("version", ""),
        clip=clip_message(clip, options.get("fps", 0.0), options.get("timestamps", ())),
        target=target_message(options),
        methods=method_messages(options.get("methods", ())),
        output=output_message(options),
    )
    sampling = sampling_message(options.get("sampling"))
    if sampling is not None:
        request.sampling.CopyFrom(sampling)
    return request


def clip_message(clip: ClipLike, fps: float = 0.0, timestamps: Sequence[float] = ()) -> clip_pb2.Clip:
    """A clip as the service takes it. fps: frames per second of images and pixels, 0 when unknown. timestamps: seconds,
    one for each of them, instead of fps; empty when unknown."""
    if isinstance(clip, clip_pb2.Clip):
        return clip
    if isinstance(clip, bytes | bytearray | memoryview):
        return clip_pb2.Clip(video=bytes(clip))
    if isinstance(clip, str | Path):
        path = Path(clip)
        if not path.is_dir():
            return clip_pb2.Clip(video=path.read_bytes())
        clip = clip_images(path)
    if isinstance(clip, np.ndarray):
        return _pixels(clip, fps, timestamps)
    items = list(clip)
    arrays = [item for item in items if isinstance(item, np.ndarray)]
    if items and len(arrays) == len(items) and len({array.shape for array in arrays}) == 1:
        return _pixels(np.stack(arrays), fps, timestamps)
    # Arrays of several sizes too: the service brings them to the first, as it does with files.
    images = [Path(item).read_bytes() if isinstance(item, str | Path) else _encoded(item) for item in items]
    return clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=images, fps=fps, timestamps=timestamps))


def image_files(folder: Path) -> list[Path]:
    """The PNG and JPEG files of a folder in natural order: by the numbers in their names (frame2 before frame10).

    Letters count alike, large or small; of names that do not differ otherwise the order is alphabetical. Raises
    InvalidArgument when there is none.
    """
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    files = sorted(found, key=_natural)
    if not files:
        raise InvalidArgument(
            f"clip: {folder} holds no {', '.join(IMAGE_SUFFIXES)} files; a folder of images is one clip",
            field="clip",
            reason="NO_FRAMES",
        )
    return files


def clip_images(folder: Path) -> list[Path]:
    """As `image_files`, for images that are sent: logs a warning where alphabetical order is another one."""
    files = image_files(folder)
    alphabetical = sorted(files)
    first = next((n for n, pair in enumerate(zip(files, alphabetical, strict=True)) if pair[0] != pair[1]), None)
    if first is not None:
        _log.warning(
            "clip: the images of %s are taken in natural order: %s comes before %s, unlike in alphabetical order; for "
            "another order, rename them with zeros before the numbers or give a list of files",
            folder,
            files[first].name,
            alphabetical[first].name,
        )
    return files


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    # Split at numbers every second part is one. Numbers come before letters, as digits do.
    parts = re.split("([0-9]+)", path.name.casefold())
    return [(int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts)], path.name


def _encoded(item: object) -> bytes:
    if isinstance(item, np.ndarray):
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[-1] not in (1, 3) or 0 in item.shape:
            raise InvalidArgument(
                f"clip: got {item.dtype} {list(item.shape)}; give uint8 [height, width, 3] RGB (or 1 for grey)",
                field="clip",
                reason="WRONG_CLIP_SHAPE",
            )
        return _png(item)
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    raise InvalidArgument(
        f"clip: a list of frames holds file names, encoded bytes or arrays, not {type(item).__name__}",
        field="clip",
        reason="BAD_CLIP",
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of a uint8 [H, W, 3] RGB or [H, W, 1] grey image, without an image library, which a client need not
    have: 8 bits, no filter, one block of data (PNG specification, 5 and 11)."""
    height, width, channels = image.shape
    # Every row begins with the number of its filter.
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    # Quickly: it is read once.
    blocks = (b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), level=1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in blocks
    )


def _pixels(array: NDArray[np.uint8], fps: float, timestamps: Sequence[float]) -> clip_pb2.Clip:
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise InvalidArgument(
            f"clip: got {array.dtype} {list(array.shape)}; give uint8 [frames, height, width, 3] RGB (or 1 for grey)",
            field="clip.raw",
            reason="WRONG_CLIP_SHAPE",
        )
    count, height, width, channels = array.shape
    order = clip_pb2.PIXEL_FORMAT_RGB if channels == 3 else clip_pb2.PIXEL_FORMAT_GRAY
    raw = clip_pb2.RawFrames(
        data=array.tobytes(), count=count, height=height, width=width, format=order, fps=fps, timestamps=timestamps
    )
    return clip_pb2.Clip(raw=raw)


def sampling_message(sampling: SamplingLike) -> clip_pb2.Sampling | None:
    """The rule that chooses frames; None leaves it to the model card. Raises InvalidArgument for an unknown rule."""
    if sampling is None or isinstance(sampling, clip_pb2.Sampling):
        return sampling
    if not isinstance(sampling, str):
        return clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[_whole(value) for value in sampling]))
    rule, _, rest = sampling.partition(":")
    parts = [part.strip() for part in rest.split(",") if part.strip()]
    if rule == "indices" and parts:
        return sampling_message([_whole(part) for part in parts])
    stretch = ("stride", "start")
    keys = {
        "uniform": ("count",),
        "segments": ("count",),
        "dense": stretch,
        "span": stretch,
        "rate": ("fps", "start"),
    }.get(rule, ())
    given: dict[str, float] = dict.fromkeys(keys, 0)
    for part in parts:
        key, _, value = part.partition("=")
        if key not in keys:
            given = {}
            break
        given[key] = _per_second(value) if key == "fps" else _whole(value)
    if given:
        message = clip_pb2.Sampling()
        chosen = getattr(message, rule)
        chosen.SetInParent()
        for key, number in given.items():
            setattr(chosen, key, number)
        return message
    raise InvalidArgument(
        f"sampling: {sampling!r} is not a rule; write uniform, segments, uniform:count=12, dense:stride=2,start=0, "
        "span:stride=2,start=0, rate:fps=15,start=0 or indices:0,3,6",
        field="sampling",
        reason="BAD_SAMPLING",
    )


def _whole(value: int | str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = -1
    if not 0 <= number < 2**32:
        raise InvalidArgument(
            f"sampling: {value!r} is not a frame number or step; use whole numbers from 0",
            field="sampling",
            reason="BAD_SAMPLING",
        )
    return number


def _per_second(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise InvalidArgument(
            f"sampling: fps={value} is no frame rate; give frames per second", field="sampling", reason="BAD_SAMPLING"
        )
    return number


def target_message(options: QuestionOptions) -> method_pb2.Target | None:
    """The class to explain, and to contrast with, from `target` and `contrast`; None when neither is given."""
    explained, contrast = class_message(options.get("target")), class_message(options.get("contrast"))
    if explained is None and contrast is None:
        return None
    return method_pb2.Target(explained=explained, contrast=contrast)


def class_message(wanted: ClassLike) -> method_pb2.ClassSelector | None:
    """A class by its number or label; None for none. Raises InvalidArgument for a negative number."""
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return method_pb2.ClassSelector(label=wanted)
    if wanted < 0:
        raise InvalidArgument(f"target: {wanted} is not a class number", field="target", reason="UNKNOWN_CLASS")
    return method_pb2.ClassSelector(index=wanted)


def output_message(options: QuestionOptions) -> answer_pb2.OutputOptions:
    """The encoding of the answer. Raises InvalidArgument for an unknown encoding or overlay."""
    encoding, overlay = options.get("encoding", "float32"), options.get("overlay", "")
    if encoding not in _ENCODINGS:
        raise InvalidArgument(
            f"output.encoding: {encoding!r} is not one of {', '.join(_ENCODINGS)}", field="output.encoding"
        )
    if overlay not in _OVERLAYS:
        raise InvalidArgument(f"output.overlay: {overlay!r} is not one of mp4, jpeg", field="output.overlay")
    return answer_pb2.OutputOptions(
        encoding=_ENCODINGS[encoding],
        overlay=_OVERLAYS[overlay],
        top_k=options.get("top_k", 0),
        insertion_deletion_gap=options.get("insertion_deletion_gap", False),
    )
