"""When each image of a film is shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from actionlens.v1 import answer_pb2

# Where a clip does not say how fast it is.
_DEFAULT_FPS = 10.0
# Seconds. Longer films, of clocks that leap or count in another unit, nobody sees to the end and mp4 cannot hold.
_LONGEST = 3600.0


def film_times(report: answer_pb2.FrameReport) -> list[float]:
    """Seconds from the first of the used frames to the beginning of each, and to the end of the last: rising.

    They are the frames' own times. Frames that are used several times share their time evenly; the last frame stays for
    as long as frames take on average. Times that are unknown, stand still or go back count for nothing: the rate is
    `effective_fps` then, or 10 frames per second. What would last longer than an hour is shortened to one, evenly.
    """
    count = len(report.used)
    times = report.timestamps
    own = len(times) == count and count > 0 and all(earlier <= later for earlier, later in pairwise(times))
    if own and times[0] < times[-1]:
        shown = _shared(times)
    else:
        shown = constant_times(count, report.effective_fps or _DEFAULT_FPS)
    return shown if shown[-1] <= _LONGEST else [time * (_LONGEST / shown[-1]) for time in shown]


def constant_times(count: int, fps: float) -> list[float]:
    """The same for images at a constant rate."""
    return [index / fps for index in range(count + 1)]


def _shared(times: Sequence[float]) -> list[float]:
    """The beginnings of frames whose times never fall, and the end of the last."""
    groups = [(time, len(list(frames))) for time, frames in groupby(times)]
    # The last frame is used again where a clip is too short: that takes no time of the clip.
    mean = (times[-1] - times[0]) / (len(times) - groups[-1][1])
    starts = [time - times[0] for time, _ in groups]
    ends = [*starts[1:], starts[-1] + mean * groups[-1][1]]
    shown = [
        start + (end - start) * repeat / repeats
        for start, end, (_, repeats) in zip(starts, ends, groups, strict=True)
        for repeat in range(repeats)
    ]
    return [*shown, ends[-1]]
