"""Films of explanations keep the frames' own times, at every door that writes them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.tensors import to_tensor
from actionlens.v1 import answer_pb2, clip_pb2, explanation_pb2, model_pb2
from actionlens.worker.v1 import worker_pb2
from service.cli.result_files import write_results
from service.client.results import Result
from service.dataplane.answer import build_answer
from service.decoding.clip import decode_clip
from service.rendering.files import mp4_file
from service.rendering.film_times import film_times
from service.rendering.overlay import write_mp4
from service.settings import Limits

# 30 frames at 30 per second, then 15 at 5 per second, in thousandths of seconds: as shared by phones in bad light.
VARIABLE = [*range(0, 1000, 33)][:30] + [1000 + 200 * number for number in range(15)]


def report(times: Sequence[float], fps: float = 0.0, count: int | None = None) -> answer_pb2.FrameReport:
    return answer_pb2.FrameReport(
        used=range(len(times) if count is None else count),
        timestamps=times,
        effective_fps=fps,
        placement=answer_pb2.Placement(width=8, height=8, frame_width=8, frame_height=8),
    )


def played(film: bytes) -> tuple[list[float], float]:
    """When each frame of a film is shown, and its length, in seconds."""
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        length = float(stream.duration * stream.time_base)
        return [float(frame.time or 0) for frame in container.decode(stream)], length


def explanation(kind: str, frames: int) -> explanation_pb2.Explanation:
    made = explanation_pb2.Explanation(method=kind)
    if kind == "esv":
        made.frame_attribution.values.CopyFrom(to_tensor(np.linspace(0, 1, frames).tolist()))
    else:
        volume = explanation_pb2.SaliencyVolume(values=to_tensor(np.ones((1, 2, 2), np.float32)), frame_positions=[0.0])
        made.saliency.CopyFrom(volume)
    return made


@pytest.mark.parametrize("kind", ["grad-cam", "esv"])
def test_a_film_over_frames_of_variable_rate_keeps_their_times(kind: str) -> None:
    times = [time / 1000 for time in VARIABLE]
    frames = np.zeros((len(times), 8, 8, 3), np.uint8)
    film = mp4_file(frames, explanation(kind, len(times)), report(times, 44 / 3.8))
    assert film is not None
    shown, length = played(film)
    np.testing.assert_allclose(shown, times, atol=1e-4)
    assert length == pytest.approx(times[-1] + 3.8 / 44, abs=1e-3)


def test_every_door_that_writes_films_keeps_the_times_of_a_file(encode: Callable[..., bytes], tmp_path: Path) -> None:
    images = [np.full((48, 64, 3), 5 * number, np.uint8) for number in range(45)]
    data = encode(images, times=VARIABLE)
    takes = model_pb2.ModelInput(frames=16, height=48, width=64, sampling="uniform")
    clip = decode_clip(clip_pb2.Clip(video=data), clip_pb2.Sampling(), takes, Limits())
    own = [VARIABLE[index] / 1000 for index in clip.indices]
    frames = answer_pb2.FrameReport(
        used=clip.indices,
        timestamps=clip.timestamps,
        effective_fps=clip.effective_fps,
        placement=clip.placement,
    )
    heat = explanation("grad-cam", 16)

    # The command line.
    path = tmp_path / "vfr.mp4"
    path.write_bytes(data)
    result = Result(answer_pb2.Answer(explanations=[heat], frames=frames))
    written = write_results(tmp_path / "out", "vfr", path, result, Limits(), lambda line: None)
    film = next(file for file in written if file.suffix == ".mp4")
    np.testing.assert_allclose(played(film.read_bytes())[0], own, atol=1e-3)

    # The overlay that the service draws for a clip or a window.
    request: Any = type("Request", (), {})()
    request.output = answer_pb2.OutputOptions(overlay=answer_pb2.OVERLAY_FORMAT_MP4)
    request.model = request.card = request
    request.name = request.version = ""
    response = worker_pb2.ComputeResponse(explanations=[heat])
    answer = build_answer(request, response, frames, clip.frames)
    np.testing.assert_allclose(played(answer.explanations[0].overlay.data)[0], own, atol=1e-3)


@pytest.mark.parametrize(
    ("times", "fps", "expected"),
    [
        ([0.0, 0.1, 0.4], 0.0, [0, 0.1, 0.4, 0.6]),
        # A window of a stream begins later than the stream.
        ([7.0, 7.1, 7.4], 0.0, [0, 0.1, 0.4, 0.6]),
        # A clip that is too short: its last frame again and again, in the time that frames take.
        ([0.0, 0.1, 0.2, 0.2, 0.2], 10.0, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        # More frames asked for than there are.
        ([0.0, 0.0, 1.0, 1.0, 2.0], 2.0, [0, 0.5, 1, 1.5, 2, 2.5]),
        ([], 4.0, [0, 0.25, 0.5]),
        ([], 0.0, [0, 0.1, 0.2]),
        ([1.5, 0.5], 0.0, [0, 0.1, 0.2]),
        ([1.0, 1.0], 0.0, [0, 0.1, 0.2]),
        ([3.0], 0.0, [0, 0.1]),
        # Microseconds taken for seconds; a clock that leaps by a day.
        ([0.0, 4e6, 8e6], 0.0, [0, 1200, 2400, 3600]),
        ([0.0, 1.0, 86400.0], 0.0, [0, 3600 / 129600, 2400, 3600]),
        ([], 1e-6, [0, 1800, 3600]),
    ],
)
def test_times_of_films(times: list[float], fps: float, expected: list[float]) -> None:
    assert film_times(report(times, fps, None if times else len(expected) - 1)) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=20), st.booleans())
def test_times_of_films_rise_and_there_is_one_more_than_frames(times: list[float], ordered: bool) -> None:
    shown = film_times(report(sorted(times) if ordered else times))
    assert len(shown) == len(times) + 1
    assert shown[0] == 0
    assert all(earlier <= later for earlier, later in pairwise(shown))


def test_the_longest_film_can_be_written() -> None:
    film = mp4_file(np.zeros((3, 8, 8, 3), np.uint8), explanation("esv", 3), report([0.0, 1.0, 1e9]))
    assert film is not None
    shown, length = played(film)
    assert len(shown) == 3
    assert length == pytest.approx(3600)


def test_frames_that_are_closer_than_a_clock_tick_are_all_there() -> None:
    film = io.BytesIO()
    write_mp4(film, np.zeros((5, 8, 8, 3), np.uint8), [0, 1e-7, 2e-7, 0.5, 0.5 + 1e-9, 1])
    shown, _ = played(film.getvalue())
    assert len(shown) == 5
    assert all(earlier < later for earlier, later in pairwise(shown))
