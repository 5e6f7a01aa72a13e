"""When each image of a film is shown."""

from __future__ import annotations

from itertools import groupby, pairwise

from actionlens.v1 import answer_pb2

# Where a clip does not say how fast it is.
_DEFAULT_FPS = 10.0


def film_times(report: answer_pb2.FrameReport) -> list[float]:
    """Seconds from the first of the used frames to the beginning of each, and to the end of the last: rising.

    They are the frames' own times. Frames that are used several times share their time evenly; the last frame stays for
    as long as frames take on average. Times that are unknown, stand still or go back count for nothing: the rate is
    `effective_fps` then, or 10 frames per second.
    """
    count = len(report.used)
    times = report.timestamps
    own = len(times) == count and count > 0 and all(earlier <= later for earlier, later in pairwise(times))
    if not own or times[0] == times[-1]:
        return constant_times(count, report.effective_fps or _DEFAULT_FPS)
    groups = [(time, len(list(frames))) for time, frames in groupby(times)]
    # The last frame is used again where a clip is too short: that takes no time of the clip.
    mean = (times[-1] - times[0]) / (count - groups[-1][1])
    starts = [time - times[0] for time, _ in groups]
    ends = [*starts[1:], starts[-1] + mean * groups[-1][1]]
    shown = [
        start + (end - start) * repeat / repeats
        for start, end, (_, repeats) in zip(starts, ends, groups, strict=True)
        for repeat in range(repeats)
    ]
    return [*shown, ends[-1]]


def constant_times(count: int, fps: float) -> list[float]:
    """The same for images at a constant rate."""
    return [index / fps for index in range(count + 1)]
