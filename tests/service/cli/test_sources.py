"""Odd sources, as a user gives them to the commands: explain and stream say the same of them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.client import Client
from tests.conftest import absent
from tests.handlers import networks
from tests.service.cli.service_process import PROGRAM, environment, serving
from tests.service.client.numbered_video import grey
from tests.service.client.recordings import web_server, write_joined, write_movie
from tests.service.client.rtsp import FPS, JUMP_AT, RtspCamera
from tests.service.decoding.test_video_stream import CASES, file_of
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[3]
SPAN = 6
"""Frames of the tiny model, one after the other."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = tmp_path_factory.mktemp("store")
    networks.folder(store / "tiny")
    with serving(store, "--default-model", "tiny") as process:
        yield process.wait_until_ready()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"ACTIONLENS_ADDRESS": ""})


def streamed(address: str, source: str | Path, *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The answers to a stream's windows, and its counts."""
    done = run("stream", source, "-a", address, "--stride", "1", "--hop", "2", "--json", "-x", "none", *options)
    assert done.exit_code == 0, done.output
    *windows, last = [json.loads(line) for line in done.stdout.splitlines()]
    return [window["answer"]["frames"] for window in windows], last["summary"]["counts"]


@pytest.mark.parametrize("second", [0.0, 1.7, 3600.0])
def test_a_clock_that_jumps(second: float, address: str, tmp_path: Path) -> None:
    joined = write_joined(tmp_path / "joined.ts", second)
    done = run("explain", joined, "-a", address, "-x", "none", "--json")
    assert done.exit_code == 0, done.output
    frames = json.loads(done.stdout)["frames"]
    assert frames["effective_fps"] == pytest.approx((SPAN - 1) / 3.9)
    assert [note.split(" before frame ")[1][:3] for note in frames["notes"]] == ["20;"]
    windows, counts = streamed(address, joined)
    assert len(windows) == (40 - SPAN) // 2 + 1
    assert counts["clock_jumps"] == 1
    for window in windows:
        first, last = window["used"][0], window["used"][-1]
        assert window["used"] == list(range(first, first + SPAN))
        assert window["effective_fps"] == pytest.approx(10)
        assert window["timestamps"][-1] == pytest.approx(last / 10)
        told = [note.split(" before frame ")[1][:3] for note in window["notes"]]
        assert told == (["20;"] if first < 20 <= last else [])
    assert "the source's clock" in run("explain", joined, "-a", address, "-x", "none").stdout
    shown = run("stream", joined, "-a", address, "-x", "none").stdout
    assert "the source's clock jumps before frame 20" in shown
    assert "1 jumps of the source's clock" in shown


def test_a_size_that_changes(address: str, tmp_path: Path) -> None:
    joined = write_joined(tmp_path / "joined.ts", 2.5, (96, 128))
    done = run("explain", joined, "-a", address, "-x", "none", "--json")
    notes = json.loads(done.stdout)["frames"]["notes"]
    assert notes == [
        "3 of 6 frames are of another size (128 x 96 pixels) than the first (64 x 48), and are brought to it"
    ]
    windows, counts = streamed(address, joined)
    assert len(windows) == (40 - SPAN) // 2 + 1
    assert (counts["resized"], counts["rejected"]) == (20, 0)
    assert all(bool(window["notes"]) == (window["used"][-1] >= 20) for window in windows)
    assert "20 brought to the size of the first" in run("stream", joined, "-a", address, "-x", "none").stdout


def test_arrays_whose_size_changes(address: str) -> None:
    images = [grey(number, (48, 64) if number < 20 else (96, 128)) for number in range(40)]
    told = "of another size (128 x 96 pixels) than the first (64 x 48), and are brought to it"
    with Client(address) as client:
        result = client.explain_clip(images, fps=10)
        timed = client.explain_clip(images, timestamps=[number / 10 for number in range(40)])
        for options in ({}, {"jpeg_quality": None}):
            with client.explain_stream(images, stride=1, hop=2, fps=10, **options) as windows:  # type: ignore[arg-type]
                answered = list(windows)
            assert len(answered) == (40 - SPAN) // 2 + 1
            assert answered[-1].counts.resized == 20
            for window in answered:
                assert [note[-len(told) :] for note in window.frames.notes] == [told] * (window.frames.used[-1] >= 20)
    for found in (result, timed):
        assert list(found.frames.notes) == [f"3 of 6 frames are {told}"]
        assert list(found.frames.timestamps) == pytest.approx([frame / 10 for frame in found.frames.used])


def test_which_of_several_video_streams_is_taken_is_said(address: str, tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    path.write_bytes(file_of(CASES["default"][1], "matroska"))
    told = "of 2 video streams, stream 1 (64 x 48, default) is taken and not stream 0 (640 x 480)"
    done = run("explain", path, path, "-a", address, "-x", "none", "--json")
    assert [json.loads(line)["frames"]["notes"] for line in done.stdout.splitlines()] == [[told], [told]]
    with web_server(tmp_path) as web:
        for source in (path, f"{web}/two.mkv"):
            windows, _ = streamed(address, source)
            assert windows
            assert all(window["notes"] == [told] for window in windows)
    for command in ("explain", "stream"):
        assert told in " ".join(run(command, path, "-a", address, "-x", "none").stdout.split())


def test_a_recording_behind_an_address_is_answered_whole(address: str, tmp_path: Path) -> None:
    film = write_movie(tmp_path / "film.ts")
    with web_server(tmp_path) as web:
        windows, counts = streamed(address, f"{web}/film.ts")
    assert windows == streamed(address, film)[0]
    assert [window["used"][-1] for window in windows] == list(range(SPAN - 1, 38, 2))
    assert (counts["received"], counts["missing"], counts["dropped_full"]) == (38, 0, 0)


def test_bytes_over_tcp_are_a_recording_when_they_are_called_so(address: str, tmp_path: Path) -> None:
    film = write_movie(tmp_path / "film.ts")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> None:
            viewer, _ = listener.accept()
            with viewer:
                viewer.sendall(film.read_bytes())

        sender = threading.Thread(target=send)
        sender.start()
        windows, counts = streamed(address, f"tcp://127.0.0.1:{listener.getsockname()[1]}", "--recording")
        sender.join()
    assert windows == streamed(address, film)[0]
    assert (counts["received"], counts["missing"], counts["dropped_full"]) == (38, 0, 0)


def test_a_live_source_that_ends_says_so_after_its_last_answers(address: str, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        absent("ffmpeg", "apt-get install ffmpeg")
    film = write_movie(tmp_path / "film.mp4")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    source = f"tcp://127.0.0.1:{port}"
    sender = [
        "ffmpeg",
        "-loglevel",
        "error",
        "-re",
        "-i",
        str(film),
        "-c",
        "copy",
        "-f",
        "mpegts",
        f"{source}?listen=1",
    ]
    command = [*PROGRAM, "stream", source, "-a", address, "-x", "none", "--stride", "1"]
    with subprocess.Popen(sender, stdin=subprocess.DEVNULL):
        env = environment(PYTHONPATH=str(ROOT))
        tries: list[subprocess.CompletedProcess[str]] = []

        def connected() -> bool:
            """The sender may need a moment to listen."""
            tries.append(
                subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=env)
            )
            return "refused" not in tries[-1].stderr

        wait_until(connected)
        done = tries[-1]
    assert done.returncode == 1
    assert f"source: {source} ended: it sends no more frames" in done.stderr
    assert "frames received =" in done.stdout
    assert "0 waiting" in done.stdout


def test_a_camera_that_breaks_off_is_opened_again_or_ends_the_command(address: str) -> None:
    options = ("-a", address, "-x", "none", "--stride", "1")
    # One connection has less than 20 windows.
    with RtspCamera(cut=20) as camera:
        done = run("stream", camera.address, *options, "--max-windows", "25")
        assert camera.viewers == 2
    assert done.exit_code == 0, done.output
    assert "trying again in 0.5 s" in done.stderr
    with RtspCamera(cut=20) as camera:
        done = run("stream", camera.address, *options, "--no-reconnect")
        assert camera.viewers == 1
    assert isinstance(done.exception, Exception)
    assert str(camera.address) in str(done.exception)
    assert "frames received =" in done.stdout


@pytest.mark.parametrize("jump", [-3.0, 3600.0])
def test_the_clock_of_a_camera_that_jumps_within_a_connection(jump: float, address: str) -> None:
    with RtspCamera(jump=jump) as camera:
        windows, counts = streamed(address, camera.address, "--max-windows", "25")
        assert camera.viewers == 1
    assert counts["clock_jumps"] == 1
    assert windows[-1]["used"][-1] > JUMP_AT
    for window in windows:
        first, last = window["used"][0], window["used"][-1]
        assert window["timestamps"][-1] - window["timestamps"][0] == pytest.approx((last - first) / FPS, abs=0.01)
        told = [note.partition(" jumps before")[0] for note in window["notes"] if "clock" in note]
        assert told == (["the source's clock"] if first < JUMP_AT <= last else [])


def test_a_camera_that_changes_its_quality_goes_on(address: str) -> None:
    with RtspCamera(cut=20, sizes=((96, 128), (48, 64))) as camera:
        _, counts = streamed(address, camera.address, "--max-windows", "25")
        assert camera.viewers == 2
    assert counts["resized"] > 0
    assert counts["rejected"] == 0
