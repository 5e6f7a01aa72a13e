from __future__ import annotations

import contextlib
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

from service.client import frame_sources
from service.client.frame_sources import open_source
from service.client.stream_messages import Frame
from service.decoding.video import read_video
from service.errors import ActionLensError, InvalidArgument, Unavailable
from service.settings import Limits
from tests.conftest import absent
from tests.service.client.numbered_video import number_of, write_video
from tests.service.client.recordings import web_server, write_joined, write_movie
from tests.service.client.rtsp import FPS, FRAMES, JUMP_AT, RtspCamera
from tests.waiting import PATIENCE, wait_until


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
    numbers = [number for number, _ in seen]
    # A reader that the machine holds up misses some, but never the last.
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (0, 11)
    # Frame i is not there before i / 10 s.
    assert all(at > number / 10 - 0.01 for number, at in seen)


class _Pause:
    """Stands in for the event that ends a source, and for the module `time`: only waiting takes time."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def monotonic(self) -> float:
        return self.now


def test_frames_come_at_their_own_times_and_late_ones_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Pause()
    monkeypatch.setattr(frame_sources, "time", clock)
    times = (0.0, 0.1, 0.5, 0.6, 0.7)
    seen = []
    for frame in frame_sources._paced((Frame(b"", n, at) for n, at in enumerate(times)), clock):  # type: ignore[arg-type]
        seen.append(clock.now)
        if frame.sequence == 1:
            clock.now = 0.65  # whoever takes it is slow
    assert seen == pytest.approx([0.0, 0.1, 0.65, 0.65, 0.7])


def test_a_slow_reader_of_a_live_source_gets_the_newest_frame(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on, shown = threading.Event(), threading.Event()

    def played(frames: Iterator[Frame], stop: threading.Event) -> Iterator[Frame]:
        """Frame 0 when it is asked for, 1 to 8 when the test says so, and then none until the end."""
        yield next(frames)
        going_on.wait(PATIENCE)
        yield from itertools.islice(frames, 8)
        shown.set()
        stop.wait(PATIENCE)

    monkeypatch.setattr(frame_sources, "_paced", played)
    source = open_source(str(video), realtime=True)
    assert next(source.frames).sequence == 0
    going_on.set()
    assert shown.wait(PATIENCE)
    # Frames 1 to 7 were never taken: gone, and their numbers say so.
    assert next(source.frames).sequence == 8
    source.close()


def test_a_folder_of_images_has_the_rate_that_is_given(tmp_path: Path) -> None:
    for name in ("1.png", "0.png"):
        (tmp_path / name).write_bytes(name.encode())
    frames = list(open_source(str(tmp_path), fps=4).frames)
    assert [(frame.picture, frame.sequence, frame.timestamp) for frame in frames] == [
        (b"0.png", 0, 0.0),
        (b"1.png", 1, 0.25),
    ]


def test_a_folder_of_images_is_streamed_in_natural_order(tmp_path: Path) -> None:
    for number in (11, 2, 10, 0, 1):
        (tmp_path / f"frame{number}.png").write_bytes(b"%d" % number)
    pictures = [frame.picture for frame in open_source(str(tmp_path)).frames]
    assert pictures == [b"0", b"1", b"2", b"10", b"11"]


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


def test_an_address_where_nobody_answers_is_given_up(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who waited for a time to pass would wait forever.
    monkeypatch.setattr(frame_sources, "_OPEN_SECONDS", 3600.0)
    monkeypatch.setattr(frame_sources, "_STALL_SECONDS", 3600.0)
    source = open_source(f"rtsp://127.0.0.1:{free_port}/live")
    assert source.live
    with pytest.raises(Unavailable, match="cannot be read"):
        list(source.frames)


def test_an_address_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_sources, "_OPEN_SECONDS", 0.5)
    monkeypatch.setattr(frame_sources, "_STALL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = open_source(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ActionLensError):
            list(source.frames)


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


def _connected(where: str) -> Iterator[Frame]:
    """The frames of a sender that may need a moment to listen."""
    found: list[Iterator[Frame]] = []

    def connected() -> bool:
        source = open_source(where)
        with contextlib.suppress(Unavailable):
            found.append(itertools.chain([next(source.frames)], source.frames))
        return bool(found)

    wait_until(connected)
    return found[0]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_no_thread_stays_after_a_live_source_is_closed(video: Path) -> None:
    before = set(threading.enumerate())
    source = open_source(str(video), realtime=True, loop=True)
    next(source.frames)
    (capture,) = [thread for thread in set(threading.enumerate()) - before if thread.name == "capture"]
    source.close()
    capture.join(PATIENCE)
    assert not capture.is_alive()


def test_an_rtsp_camera_is_a_live_source() -> None:
    with RtspCamera() as camera:
        source = open_source(camera.address)
        assert source.live
        frames = list(itertools.islice(source.frames, 12))
        source.close()
        assert camera.requests[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    first = frames[0]
    for frame in frames:
        # The image is the one that was filmed at that time.
        since = round((frame.timestamp - first.timestamp) * FPS)
        shown = number_of(np.asarray(first.picture)) + since
        assert number_of(np.asarray(frame.picture)) == shown % FRAMES
    assert all(earlier.timestamp < later.timestamp for earlier, later in itertools.pairwise(frames))


@pytest.fixture
def http(tmp_path: Path) -> Iterator[str]:
    """The address of a web server of the files in tmp_path."""
    with web_server(tmp_path) as address:
        yield address


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.mkv", "film.flv"])
def test_a_recording_behind_an_address_is_read_without_loss(name: str, tmp_path: Path, http: str) -> None:
    write_movie(tmp_path / name, **({"movflags": "frag_keyframe+empty_moov"} if name.endswith("mp4") else {}))
    source = open_source(f"{http}/{name}")
    assert not source.live
    frames = []
    for frame in source.frames:
        frames.append(frame)
        # Longer than the time of a frame, now and then: nothing is left out meanwhile.
        time.sleep(0.15 if frame.sequence % 10 == 0 else 0)
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == list(range(38))
    assert [frame.sequence for frame in frames] == list(range(38))
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(38) / 10, atol=0.002)


def test_a_recording_behind_an_address_can_be_looped_and_played_as_if_live(tmp_path: Path, http: str) -> None:
    write_movie(tmp_path / "film.ts", frames=6)
    looped = open_source(f"{http}/film.ts", loop=True)
    frames = list(itertools.islice(looped.frames, 15))
    looped.close()
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == [number % 6 for number in range(15)]
    assert open_source(f"{http}/film.ts", realtime=True).live


def test_a_recording_that_is_not_there_is_said(http: str) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        list(open_source(f"{http}/nothing.mp4").frames)


def test_a_recording_that_does_not_look_like_one_is_read_whole_when_it_is_called_so(
    free_port: int, tmp_path: Path
) -> None:
    """Plain bytes over TCP: that they end is known at their end."""
    film = write_movie(tmp_path / "film.ts").read_bytes()
    for live in (None, False):
        with socket.create_server(("127.0.0.1", free_port)) as listener:
            sender = threading.Thread(target=_send, args=(listener, film))
            sender.start()
            source = open_source(f"tcp://127.0.0.1:{free_port}", live=live)
            assert source.live == (live is None)
            if live is None:
                with pytest.raises(Unavailable, match="ended"):
                    list(source.frames)
            else:
                frames = []
                for frame in source.frames:
                    frames.append(frame)
                    time.sleep(0.15 if frame.sequence % 10 == 0 else 0)
                assert [number_of(np.asarray(frame.picture)) for frame in frames] == list(range(38))
            sender.join()


def _send(listener: socket.socket, data: bytes) -> None:
    viewer, _ = listener.accept()
    with viewer, contextlib.suppress(OSError):
        viewer.sendall(data)


def test_a_recording_that_is_called_live_is(tmp_path: Path, http: str) -> None:
    write_movie(tmp_path / "film.mp4", movflags="faststart")
    source = open_source(f"{http}/film.mp4", live=True)
    assert source.live
    with pytest.raises(Unavailable) as ended:
        list(source.frames)
    assert ended.value.reason == "SOURCE_ENDED"


@pytest.mark.parametrize("where", ["0", "film.mp4"])
def test_only_addresses_can_be_called_live_or_not(where: str) -> None:
    with pytest.raises(InvalidArgument, match="no address"):
        open_source(where, live=False)


def test_a_live_address_that_ends_says_so(video: Path, free_port: int) -> None:
    if shutil.which("ffmpeg") is None:
        absent("ffmpeg", "apt-get install ffmpeg")
    command = ["ffmpeg", "-loglevel", "error", "-re", "-i", str(video), "-c:v", "mpeg2video", "-b:v", "4M"]
    command += ["-f", "mpegts", f"tcp://127.0.0.1:{free_port}?listen=1"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL):
        frames = _connected(f"tcp://127.0.0.1:{free_port}")
        with pytest.raises(Unavailable, match=r"ended: it sends no more frames") as caught:
            list(frames)
    assert (caught.value.field, caught.value.reason) == ("source", "SOURCE_ENDED")


def test_a_camera_that_breaks_off_is_opened_again() -> None:
    said: list[str] = []
    with RtspCamera(cut=15, cuts=2) as camera:
        source = open_source(camera.address, report=said.append)
        frames = [next(source.frames)]
        while len(said) < 2:
            frames.append(next(source.frames))
        # One frame may have waited for its reader since before the break; the one after it is of the third connection.
        frames += [next(source.frames) for _ in range(2)]
        source.close()
        assert camera.viewers == 3
    assert len(said) == 2
    assert all("trying again in 0.5 s" in line for line in said)
    # The time without a connection has passed; what frames that a slow reader missed took is not of it. It may have
    # missed a whole connection: then both times are one.
    steps = [b.timestamp - a.timestamp - (b.sequence - a.sequence - 1) / FPS for a, b in itertools.pairwise(frames)]
    waits = [step for step in steps if step > 2 / FPS]
    assert min(waits) > 0.5
    assert sum(wait - 1 / FPS for wait in waits) > 2 * (0.5 - 1 / FPS)
    assert all(a.sequence < b.sequence and a.timestamp < b.timestamp for a, b in itertools.pairwise(frames))


def test_a_camera_that_is_not_to_be_opened_again_ends_with_the_reason() -> None:
    with RtspCamera(cut=15) as camera:
        source = open_source(camera.address, reconnect=False)
        with pytest.raises(Unavailable) as caught:
            list(source.frames)
    assert caught.value.field == "source"


@pytest.mark.parametrize("jump", [-0.4, -5.0, 3600.0, 40_000.0])
def test_the_clock_of_a_camera_that_jumps_within_a_connection_is_bridged_and_counted(jump: float) -> None:
    """40 000 s are more than half of the 2**32 steps that the clock has: that is, it goes back."""
    with RtspCamera(jump=jump) as camera:
        source = open_source(camera.address)
        frames: list[Frame] = []
        # A slow reader misses frames of a camera, those around the jump too.
        while not frames or frames[-1].sequence < JUMP_AT + 10:
            frames.append(next(source.frames))
        source.close()
        assert camera.viewers == 1
    for frame in frames:
        assert frame.timestamp == pytest.approx(frame.sequence / FPS, abs=1e-3)
        assert frame.clock_jumps == (frame.sequence >= JUMP_AT)
        assert number_of(np.asarray(frame.picture)) == frame.sequence % FRAMES


def test_a_source_that_waits_for_its_camera_can_be_closed() -> None:
    waiting = threading.Event()
    with RtspCamera(cut=5, cuts=99) as camera:
        source = open_source(camera.address, report=lambda _: waiting.set())
        reader = threading.Thread(target=lambda: list(source.frames))
        reader.start()
        assert waiting.wait(PATIENCE)
        source.close()
        reader.join(PATIENCE)
        assert not reader.is_alive()


@pytest.mark.parametrize("second", [0.0, 1.7, 3600.0])
def test_a_clock_that_jumps_is_bridged_and_counted(second: float, tmp_path: Path) -> None:
    """Two recordings joined: the second one's clock begins at `second`, the first one's ends at 2.4 s."""
    joined = write_joined(tmp_path / "joined.ts", second)
    frames = list(open_source(str(joined)).frames)
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == [*range(20), *range(20)]
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(40) / 10, atol=0.002)
    assert [frame.clock_jumps for frame in frames] == [0] * 20 + [1] * 20
    looped = list(itertools.islice(open_source(str(joined), loop=True).frames, 61))
    assert looped[-1].clock_jumps == 2


@pytest.mark.parametrize("name", ["film.ts", "film.avi"])
def test_a_damaged_file_gives_what_a_clip_of_it_gives(name: str, tmp_path: Path) -> None:
    """Bytes in the middle are wrong, and the end is cut off."""
    path = write_movie(tmp_path / name)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(range(40))
    path.write_bytes(data[: len(data) * 9 // 10])
    frames = list(open_source(str(path)).frames)
    clip = read_video(
        path.read_bytes(), lambda count, fps: tuple(range(count)), lambda image: image, Limits(), "clip.video"
    )
    assert 5 < len(frames) < 38
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == [number_of(image) for image in clip.frames]
    np.testing.assert_allclose([frame.timestamp for frame in frames], clip.timestamps, atol=0.002)


def test_a_playlist_is_a_recording_when_it_has_an_end(tmp_path: Path, http: str) -> None:
    """Two parts whose clocks begin at the same time, as playlists with a discontinuity have them."""
    for part in "ab":
        write_movie(tmp_path / f"{part}.ts", frames=20)
    lines = [
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:2",
        "#EXTINF:2.0,",
        "a.ts",
        "#EXT-X-DISCONTINUITY",
        "#EXTINF:2.0,",
        "b.ts",
    ]
    (tmp_path / "live.m3u8").write_text("\n".join([*lines, ""]))
    (tmp_path / "recording.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    source = open_source(f"{http}/recording.m3u8")
    assert not source.live
    frames = list(source.frames)
    assert [number_of(np.asarray(frame.picture)) for frame in frames] == [*range(20), *range(20)]
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(40) / 10, atol=0.002)
    assert frames[-1].clock_jumps == 1
    live = open_source(f"{http}/live.m3u8")
    assert live.live
    live.close()
