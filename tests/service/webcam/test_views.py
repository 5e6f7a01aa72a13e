"""The terminal view of windows that are answered one after the other."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from rich.cells import cell_len

from actionlens.v1 import service_pb2
from service.client.frame_sources import FrameSource
from service.client.results import WindowResult
from service.client.stream_messages import Frame
from service.webcam import playback as playback_module
from service.webcam.frame_store import FrameStore
from service.webcam.playback import Playback
from service.webcam.state import ViewState
from service.webcam.terminal_layout import TerminalSize, lines
from tests.service.rendering.explanations import saliency

_SIZE = (24, 32)
_FRAMES = 8
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@pytest.fixture
def store() -> Iterator[FrameStore]:
    """Eight frames, read to their end: the left half of each is grey of a level that tells its number."""
    images = [np.full((*_SIZE, 3), 60 + 10 * number, np.uint8) for number in range(_FRAMES)]
    source = FrameSource(
        "test", True, (Frame(image, n, n / 10) for n, image in enumerate(images)), threading.Event().set
    )
    made = FrameStore(source)
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
    explanation = saliency(values)
    explanation.quality.motion_share = 0.4
    answer.explanations.append(explanation)
    answer.frames.used.extend(range(_FRAMES))
    answer.frames.effective_fps = 10
    answer.timings.forward = 0.02
    answer.timings.explain.append(0.005)
    message.counts.used, message.counts.dropped_stale, message.counts.missing = 30, 4, 2
    return WindowResult.of(message)


def made(store: FrameStore) -> tuple[ViewState, Playback]:
    state = ViewState({"methods": ["grad-cam"]})
    return state, Playback(store, state)


@pytest.mark.parametrize(("columns", "rows"), [(120, 36), (80, 24), (60, 40), (40, 12)])
def test_the_screen_fits_the_terminal_and_says_all(store: FrameStore, columns: int, rows: int) -> None:
    state, playback = made(store)
    state.add(window())
    drawn = lines(TerminalSize(columns, rows), state, store, playback, "q quit")
    assert len(drawn) == rows
    for line in drawn:
        # Beside the image the panel begins at its own column; each part fits by itself.
        assert all(cell_len(_ESCAPE.sub("", part)) <= columns for part in re.split(r"\x1b\[\d+G", line))
    text = " ".join(_ESCAPE.sub("", line) for line in drawn)
    if columns >= 80:
        assert re.search(r"lag 250 ms  \d+ fps in  \d+\.\d windows/s", _ESCAPE.sub("", drawn[0]))
    assert "“wave” 75 %" in text
    assert "q quit" in drawn[-1]
    if rows > 12:
        for said in ("frame 2 carries 100 %", "clap", "25 %", "motion", "40 %", "5 ms to 20 ms (+25 %)", "4 dropped"):
            assert said in re.sub(r"\s+", " ", text), said


def test_before_the_first_answer_there_is_the_image(store: FrameStore) -> None:
    state, playback = made(store)
    drawn = lines(TerminalSize(80, 24), state, store, playback, "q quit")
    assert any("▀" in line for line in drawn)
    assert "connecting" in drawn[0]


def test_frames_go_on_in_their_own_time_and_fade_when_nothing_follows(
    store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(playback_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("service.webcam.state.time", SimpleNamespace(monotonic=lambda: clock.now))
    state, playback = made(store)
    state.add(window())
    seen, red = [], []
    for _ in range(60):
        shown = playback.show(320)
        assert shown is not None
        seen.append(shown.frame)
        red.append(int(shown.image[12, 30, 0]) - int(shown.image[12, 4, 0]))
        clock.now += 0.1
    # Ten frames per second, the last one held, and then the image as it is now.
    assert seen[:8] == list(range(8))
    assert set(seen[8:40]) == {7}
    assert set(seen[41:]) == {None}
    # The heat is in the frame where it belongs.
    assert red.index(max(red)) == 2
    assert max(red) > 50
    assert abs(red[7]) < 5


def test_what_is_unusual_about_the_frames_is_said(store: FrameStore) -> None:
    state, playback = made(store)
    answer = window()
    answer.frames.notes.extend(["of 2 video streams, stream 1 is taken", "the clock jumps"])
    state.add(answer)
    drawn = lines(TerminalSize(120, 36), state, store, playback, "q quit")
    text = " ".join(_ESCAPE.sub(" ", line) for line in drawn)
    assert "of 2 video streams, stream 1 is taken; the clock jumps" in re.sub(r"[\s▀▄█]+", " ", text)


def test_frames_of_variable_rate_are_shown_at_their_own_times(
    store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(playback_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr("service.webcam.state.time", SimpleNamespace(monotonic=lambda: clock.now))
    state, playback = made(store)
    times = [0.0, 0.1, 0.2, 0.7, 0.8, 1.4, 1.5, 2.4]
    begins: dict[int, float] = {}

    def watch(seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            shown = playback.show(320)
            assert shown is not None
            # Frames are told apart by their level; the window counts them from its own first.
            begins.setdefault(round((int(shown.image[12, 4, 0]) - 60) / 10), clock.now - 100)
            clock.now += 0.05

    first, second = window(strength=0.0), window(1, strength=0.0)
    for answer, frames in ((first, range(5)), (second, range(2, 8))):
        del answer.frames.used[:]
        answer.frames.used.extend(frames)
        answer.frames.timestamps.extend(times[frame] for frame in frames)
        answer.frames.effective_fps = 5
    state.add(first)
    watch(1.2)
    # The first window's last frame stays for as long as the second one says.
    state.add(second)
    watch(1.5)
    assert [begins[frame] for frame in range(8)] == pytest.approx(times, abs=0.06)


def test_the_colour_scale_stays_until_it_is_begun_anew(store: FrameStore) -> None:
    state, playback = made(store)
    for strength, peak in ((1.0, 1.0), (4.0, 4.0), (2.0, 4.0)):
        state.add(window(strength=strength))
        shown = playback.show(320)
        assert shown is not None
        assert shown.peak == pytest.approx(peak)
    playback.rescale()
    shown = playback.show(320)
    assert shown is not None
    assert shown.peak == pytest.approx(2.0)


def test_the_history_of_a_class_is_kept_also_when_it_was_not_on_top() -> None:
    state = ViewState({"methods": ["grad-cam"]})
    for probability in (0.1, 0.5, 0.9):
        state.add(window(probability=probability))
    assert state.classes[0].history == pytest.approx((0.1, 0.5, 0.9))
    assert state.classes[1].history == pytest.approx((0.25, 0.25, 0.25))
