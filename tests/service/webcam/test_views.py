"""What the views show of windows that are answered one after the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from rich.cells import cell_len

from actionlens.v1 import service_pb2
from service.client.frame_sources import Source
from service.client.results import WindowResult
from service.client.stream_messages import Frame
from service.webcam import playback as projector_module
from service.webcam.frame_store import Footage
from service.webcam.playback import Projector
from service.webcam.state import Watch
from service.webcam.terminal_layout import Size, lines
from tests.service.rendering.explanations import saliency

_SIZE = (24, 32)
_FRAMES = 8
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture
def footage() -> Iterator[Footage]:
    """Eight frames, read to their end: the left half of each is grey of a level that tells its number."""
    pictures = [np.full((*_SIZE, 3), 60 + 10 * number, np.uint8) for number in range(_FRAMES)]
    source = Source(
        "test", True, (Frame(picture, n, n / 10) for n, picture in enumerate(pictures)), threading.Event().set
    )
    made = Footage(source)
    assert [frame.sequence for frame in made.frames()][-1] == _FRAMES - 1
    yield made
    made.close()


def window(number: int = 0, probability: float = 0.75, strength: float = 1.0) -> WindowResult:
    """An answer about all eight frames; the heat of `strength` is at the right end of the third frame."""
    message = service_pb2.WindowAnswer(window=number, lag=0.25, skipped_windows=3)
    answer = message.answer
    answer.model, answer.version = "motion-primitives", "1.1"
    for index, (label, share) in enumerate((("wave", probability), ("clap", 0.25))):
        answer.prediction.top.add(index=index, label=label, probability=share)
    values = np.zeros((_FRAMES, 2, 4), np.float32)
    values[2, :, 3] = strength
    entry = saliency(values)
    entry.quality.motion_share = 0.4
    answer.explanations.append(entry)
    answer.frames.used.extend(range(_FRAMES))
    answer.frames.effective_fps = 10
    answer.timings.forward = 0.02
    answer.timings.explain.append(0.005)
    message.counts.used, message.counts.dropped_stale, message.counts.missing = 30, 4, 2
    return WindowResult.of(message)


def made(footage: Footage) -> tuple[Watch, Projector]:
    watch = Watch({"methods": ["grad-cam"]})
    return watch, Projector(footage, watch)


@pytest.mark.parametrize(("columns", "rows"), [(120, 36), (80, 24), (60, 40), (40, 12)])
def test_the_screen_fits_the_terminal_and_says_all(footage: Footage, columns: int, rows: int) -> None:
    watch, projector = made(footage)
    watch.take(window())
    drawn = lines(Size(columns, rows), watch, footage, projector, "q quit")
    assert len(drawn) == rows
    for line in drawn:
        # Beside the picture the panel begins at its own column; each part fits by itself.
        assert all(cell_len(_ESCAPE.sub("", part)) <= columns for part in re.split(r"\x1b\[\d+G", line))
    text = " ".join(_ESCAPE.sub("", line) for line in drawn)
    if columns >= 80:
        assert re.search(r"lag 250 ms  \d+ fps in  \d+\.\d windows/s", _ESCAPE.sub("", drawn[0]))
    assert "“wave” 75 %" in text
    assert "q quit" in drawn[-1]
    if rows > 12:
        for said in ("frame 2 carries 100 %", "clap", "25 %", "motion", "40 %", "5 ms to 20 ms (+25 %)", "4 dropped"):
            assert said in re.sub(r"\s+", " ", text), said


def test_before_the_first_answer_there_is_the_picture(footage: Footage) -> None:
    watch, projector = made(footage)
    drawn = lines(Size(80, 24), watch, footage, projector, "q quit")
    assert any("▀" in line for line in drawn)
    assert "connecting" in drawn[0]


def test_frames_go_on_in_their_own_time_and_fade_when_nothing_follows(
    footage: Footage, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(projector_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("service.webcam.state.time", SimpleNamespace(monotonic=lambda: clock.now))
    watch, projector = made(footage)
    watch.take(window())
    seen, red = [], []
    for _ in range(60):
        shown = projector.show(320)
        assert shown is not None
        seen.append(shown.frame)
        red.append(int(shown.picture[12, 30, 0]) - int(shown.picture[12, 4, 0]))
        clock.now += 0.1
    # Ten frames per second, the last one held, and then the picture as it is now.
    assert seen[:8] == list(range(8))
    assert set(seen[8:40]) == {7}
    assert set(seen[41:]) == {None}
    # The heat is in the frame where it belongs.
    assert red.index(max(red)) == 2
    assert max(red) > 50
    assert abs(red[7]) < 5


def test_the_colour_scale_stays_until_it_is_begun_anew(footage: Footage) -> None:
    watch, projector = made(footage)
    for strength, peak in ((1.0, 1.0), (4.0, 4.0), (2.0, 4.0)):
        watch.take(window(strength=strength))
        shown = projector.show(320)
        assert shown is not None
        assert shown.peak == pytest.approx(peak)
    projector.rescale()
    shown = projector.show(320)
    assert shown is not None
    assert shown.peak == pytest.approx(2.0)


def test_the_history_of_a_class_is_kept_also_when_it_was_not_on_top() -> None:
    watch = Watch({"methods": ["grad-cam"]})
    for probability in (0.1, 0.5, 0.9):
        watch.take(window(probability=probability))
    assert watch.standings[0].history == pytest.approx((0.1, 0.5, 0.9))
    assert watch.standings[1].history == pytest.approx((0.25, 0.25, 0.25))
