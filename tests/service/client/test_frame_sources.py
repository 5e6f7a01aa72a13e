from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.client.frame_sources import open_source
from service.errors import ActionLensError, InvalidArgument, Unavailable
from tests.conftest import absent
from tests.service.client.footage import number_of, write_video
from tests.service.client.rtsp import FPS, FRAMES, RtspCamera


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "film.mp4", 12)


def test_a_file_gives_every_frame_once_in_order(video: Path) -> None:
    source = open_source(str(video))
    assert not source.live
    frames = list(source.frames)
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == list(range(12))
    assert [frame.sequence for frame in frames] == list(range(12))
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(12) / 10, atol=1e-6)


def test_a_looped_file_goes_on_counting(video: Path) -> None:
    frames = list(itertools.islice(open_source(str(video), loop=True).frames, 30))
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == [number % 12 for number in range(30)]
    assert [frame.sequence for frame in frames] == list(range(30))
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(30) / 10, atol=1e-6)


def test_closing_ends_an_endless_source(video: Path) -> None:
    source = open_source(str(video), loop=True)
    next(source.frames)
    source.close()
    assert list(source.frames) == []


def test_a_file_played_as_if_live_takes_its_own_time(video: Path) -> None:
    source = open_source(str(video), realtime=True)
    assert source.live
    start = time.monotonic()
    seen = [(frame.sequence, time.monotonic() - start) for frame in source.frames]
    assert [number for number, _ in seen] == list(range(12))
    # Frame i is not there before i / 10 s.
    assert all(at > number / 10 - 0.01 for number, at in seen)
    assert seen[-1][1] < 3


def test_a_slow_reader_of_a_live_source_gets_the_newest_frame(video: Path) -> None:
    source = open_source(str(video), realtime=True)
    assert next(source.frames).sequence == 0
    time.sleep(0.75)
    # Frames 1 to 6 were never taken: gone, and their numbers say so.
    assert next(source.frames).sequence in (7, 8, 9)
    source.close()


def test_a_folder_of_pictures_has_the_rate_that_is_given(tmp_path: Path) -> None:
    for name in ("1.png", "0.png"):
        (tmp_path / name).write_bytes(name.encode())
    frames = list(open_source(str(tmp_path), fps=4).frames)
    assert [(frame.picture, frame.sequence, frame.timestamp) for frame in frames] == [
        (b"0.png", 0, 0.0),
        (b"1.png", 1, 0.25),
    ]


@pytest.mark.parametrize("where", ["nothing.mp4", "-1", ""])
def test_what_is_no_source_is_refused(where: str) -> None:
    with pytest.raises(InvalidArgument, match="camera number") as caught:
        open_source(where)
    assert caught.value.field == "source"


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "renamed.mp4"
    path.write_text("not a video")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        list(open_source(str(path)).frames)


def test_a_camera_that_is_not_there_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable, match="camera 97 cannot be opened"):
        list(open_source("97").frames)
    assert capfd.readouterr() == ("", "")


def test_an_address_where_nobody_answers_is_given_up(free_port: int) -> None:
    source = open_source(f"rtsp://127.0.0.1:{free_port}/live")
    assert source.live
    start = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be read"):
        list(source.frames)
    assert time.monotonic() - start < 12


def test_an_address_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.frame_sources._OPEN_SECONDS", 0.5)
    monkeypatch.setattr("service.client.frame_sources._STALL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = open_source(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(ActionLensError):
            list(source.frames)
        assert time.monotonic() - start < 5


def test_a_network_stream_is_played(video: Path, free_port: int) -> None:
    """A real sender: ffmpeg plays the file at its own speed over TCP."""
    if shutil.which("ffmpeg") is None:
        absent("ffmpeg", "apt-get install ffmpeg")
    command = ["ffmpeg", "-loglevel", "error", "-re", "-stream_loop", "2", "-i", str(video)]
    command += ["-c:v", "mpeg2video", "-b:v", "4M", "-f", "mpegts", f"tcp://127.0.0.1:{free_port}?listen=1"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as sender:
        try:
            source = _connected(f"tcp://127.0.0.1:{free_port}")
            frames = list(itertools.islice(source, 20))
        finally:
            sender.kill()
    numbers = [frame.sequence for frame in frames]
    assert numbers == sorted(set(numbers))
    assert {number_of(np.asarray(frame.picture)) for frame in frames} <= set(range(12))
    assert len({number_of(np.asarray(frame.picture)) for frame in frames}) > 5


def _connected(where: str) -> Iterator:  # type: ignore[type-arg]
    """The frames of a sender that may need a moment to listen."""
    for _ in range(50):
        source = open_source(where)
        try:
            first = next(source.frames)
        except Unavailable:
            time.sleep(0.1)
        else:
            return itertools.chain([first], source.frames)
    raise AssertionError("the sender never listened")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_no_thread_stays_after_a_live_source_is_closed(video: Path) -> None:
    before = threading.active_count()
    source = open_source(str(video), realtime=True, loop=True)
    next(source.frames)
    source.close()
    end = time.monotonic() + 3
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.02)
    assert threading.active_count() <= before


def test_an_rtsp_camera_is_a_live_source() -> None:
    with RtspCamera() as camera:
        source = open_source(camera.address)
        assert source.live
        frames = list(itertools.islice(source.frames, 12))
        source.close()
        assert camera.requests[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    first = frames[0]
    for frame in frames:
        # The picture is the one that was filmed at that time.
        since = round((frame.timestamp - first.timestamp) * FPS)
        shown = number_of(np.asarray(first.picture)) + since
        assert number_of(np.asarray(frame.picture)) == shown % FRAMES
    assert all(earlier.timestamp < later.timestamp for earlier, later in itertools.pairwise(frames))
