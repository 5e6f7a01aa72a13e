"""Chooses the video stream of a container that a player shows."""

from __future__ import annotations

from typing import Any

from av.stream import Disposition

# Covers of albums and previews of scenes are stored as video and are none.
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails
_NEVER_ALONE = Disposition.still_image | Disposition.dependent
_WORDS = (
    (Disposition.default, "default"),
    (Disposition.comment, "commentary"),
    (Disposition.visual_impaired, "for the visually impaired"),
)
_MOST_LISTED = 3
_SECONDARY = Disposition.still_image | Disposition.dependent | Disposition.comment | Disposition.visual_impaired


def best_video_stream(container: Any) -> Any | None:
    """The video stream of an open container that is shown, or None when it has none.

    Attached pictures never are. Of several, in this order: one that can be decoded, more than one frame, no side
    programme (still image, enhancement of another stream, commentary), the one marked as default, the larger image, the
    first.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    return max(streams, key=_preference, default=None)


def choice_note(container: Any) -> str:
    """Say which video stream of an open container is taken where another one could be meant too; "" where none could.

    Streams are numbered as ffprobe does. Attached pictures, stills and enhancements of another stream are not meant.
    """
    taken = best_video_stream(container)
    others = [stream for stream in container.streams.video if stream is not taken and _could_be_meant(stream)]
    if taken is None or not others:
        return ""
    listed = ", ".join(_described(stream) for stream in others[:_MOST_LISTED])
    more = f" and {len(others) - _MOST_LISTED} more" if len(others) > _MOST_LISTED else ""
    return f"of {len(others) + 1} video streams, {_described(taken)} is taken and not {listed}{more}"


def _could_be_meant(stream: Any) -> bool:
    return stream.frames != 1 and not stream.disposition & (_PICTURES | _NEVER_ALONE)


def _described(stream: Any) -> str:
    """ "stream 1 (640 x 480, default)"."""
    codec = stream.codec_context
    facts = [f"{codec.width} x {codec.height}" if codec is not None else "no decoder for it"]
    facts += [word for flag, word in _WORDS if stream.disposition & flag]
    return f"stream {stream.index} ({', '.join(facts)})"


def _preference(stream: Any) -> tuple[bool, bool, bool, bool, int]:
    codec = stream.codec_context
    return (
        codec is not None,
        stream.frames != 1,
        not stream.disposition & _SECONDARY,
        bool(stream.disposition & Disposition.default),
        codec.width * codec.height if codec is not None else 0,
    )
