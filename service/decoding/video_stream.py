"""Chooses the video stream of a container that a player shows."""

from __future__ import annotations

from typing import Any

from av.stream import Disposition

# Covers of albums and previews of scenes are stored as video and are none.
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
_SECONDARY = Disposition.still_image | Disposition.dependent | Disposition.comment | Disposition.visual_impaired


def best_video_stream(container: Any) -> Any | None:
    """The video stream of an open container that is shown, or None when it has none.

    Attached pictures never are. Of several, in this order: one that can be decoded, more than one frame, no side
    programme (still image, enhancement of another stream, commentary), the one marked as default, the larger image, the
    first.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    return max(streams, key=_preference, default=None)


def _preference(stream: Any) -> tuple[bool, bool, bool, bool, int]:
    codec = stream.codec_context
    return (
        codec is not None,
        stream.frames != 1,
        not stream.disposition & _SECONDARY,
        bool(stream.disposition & Disposition.default),
        codec.width * codec.height if codec is not None else 0,
    )
