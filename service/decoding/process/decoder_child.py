"""The decoder process: takes work from the service, one after the other, until the service closes its end."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import DecodedClip, decode_clip
from service.decoding.colour import Light, Transfer, to_screen
from service.decoding.display import display_frames
from service.decoding.image import decode_frame
from service.decoding.process import messages
from service.decoding.process.confinement import allow_seconds, confine, die_with
from service.errors import ActionLensError
from service.settings import Limits

_SPARE_SECONDS = 10.0
_LONGEST_MESSAGE = 2000
_FILM = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==")
Answer = tuple[dict[str, Any], list[messages.Part]]


def main() -> None:
    """Serve the service over the descriptors in the arguments: socket, memory, the parent's number, and what may be
    used as JSON."""
    connection, memory, parent = (int(argument) for argument in sys.argv[1:4])
    bounds = json.loads(sys.argv[4])
    die_with(parent)
    # The service decides when to stop; a terminal's Ctrl-C is for it alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits = Limits.model_validate_json(json.dumps(bounds["limits"]))
    cv2.setNumThreads(1)
    _warm(limits)
    # libraries write to it about every damaged file
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with socket.socket(fileno=connection) as service:
        confine(bounds["memory_bytes"])
        service.sendall(messages.READY)
        while (message := messages.receive(service, memory, bounds["memory_bytes"])) is not None:
            allow_seconds(limits.decode_seconds + _SPARE_SECONDS)
            messages.send(service, memory, *_answered(*message, limits))


def _answered(header: dict[str, Any], parts: list[bytes], limits: Limits) -> Answer:
    try:
        return _WORK[header["kind"]](header, parts, limits)
    except ActionLensError as error:
        fields = {"message": error.message, "field": error.field, "reason": error.reason}
        return {"error": {"code": error.code.name, **fields}}, []
    except MemoryError:
        return {"failed": "decoding it takes more memory than a decoder has"}, []
    except Exception as error:  # of a library, for data that it does not expect
        return {"failed": f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE]}, []


def _clip(header: dict[str, Any], parts: list[bytes], limits: Limits) -> Answer:
    clip, sampling, size = parts
    decoded = decode_clip(
        clip_pb2.Clip.FromString(clip),
        clip_pb2.Sampling.FromString(sampling),
        model_pb2.ModelInput.FromString(size),
        limits,
    )
    return described(decoded), [_bytes(decoded.frames)]


def described(clip: DecodedClip) -> dict[str, Any]:
    """A decoded clip without its pixels and placement, as JSON has it."""
    return {
        "shape": clip.frames.shape,
        "indices": clip.indices,
        "count": clip.count,
        "timestamps": clip.timestamps,
        "source": (clip.source_width, clip.source_height),
        "fps": clip.fps,
        "effective_fps": clip.effective_fps,
        "notes": clip.notes,
    }


def _frame(header: dict[str, Any], parts: list[bytes], limits: Limits) -> Answer:
    image, size = parts
    first = tuple(header["first"]) if header["first"] else None
    pixels, came_as = decode_frame(image, model_pb2.ModelInput.FromString(size), first, limits, "frame.image")
    return {"shape": pixels.shape, "came_as": came_as}, [_bytes(pixels)]


def _display(header: dict[str, Any], parts: list[bytes], limits: Limits) -> Answer:
    frames = display_frames(clip_pb2.Clip.FromString(parts[0]), header["indices"], header["max_side"], limits)
    return {"shape": frames.shape}, [_bytes(frames)]


_WORK: dict[str, Callable[[dict[str, Any], list[bytes], Limits], Answer]] = {
    "clip": _clip,
    "frame": _frame,
    "display": _display,
}


def _bytes(pixels: NDArray[np.uint8]) -> memoryview:
    return np.ascontiguousarray(pixels).reshape(-1).data


def _warm(limits: Limits) -> None:
    """Use every library once: what they open or import late must be there before this process gives up its rights."""
    size = model_pb2.ModelInput(frames=1, height=8, width=8)
    for source in (
        clip_pb2.Clip(video=_FILM),
        clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[_encoded(".png")])),
        clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[_encoded(".jpg")])),
    ):
        decode_clip(source, clip_pb2.Sampling(), size, limits)
    to_screen(np.zeros((2, 2, 3), np.uint16), Light(Transfer.PQ, None), 2**16 - 1)
    _answered({"kind": "clip"}, [b"", b"", b""], limits)


def _encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.zeros((16, 16, 3), np.uint8))[1].tobytes()
