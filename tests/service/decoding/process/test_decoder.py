"""Decoding in processes: the same answers, few rights, and an end that harms nobody else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from actionlens.v1 import clip_pb2, model_pb2
from service.decoding.clip import decode_clip
from service.decoding.display import display_frames
from service.decoding.image import decode_frame
from service.decoding.process import messages
from service.decoding.process.confinement import can_filter
from service.decoding.process.decoder import DecoderPool, InProcessDecoder, make_decoder
from service.errors import ActionLensError, DeadlineExceeded, InvalidArgument, Unavailable
from service.settings import DecoderPlace, DecoderSettings, Limits, Settings
from tests.waiting import wait_until

TAKES = model_pb2.ModelInput(frames=4, height=24, width=40, resize="letterbox", sampling="uniform", stride=1)
ANY = clip_pb2.Sampling()


@pytest.fixture(scope="module")
def pool():
    made = DecoderPool(Settings(decode_threads=1))
    yield made
    made.close()


@pytest.fixture
def film(encode, numbered):
    return clip_pb2.Clip(video=encode(numbered(20)))


def pictures(numbered, suffix):
    return [cv2.imencode(suffix, image)[1].tobytes() for image in numbered(5)]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_clip_is_the_same_wherever_it_is_decoded(pool, film, numbered):
    raw = np.stack(numbered(3))
    clips = (
        film,
        clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=pictures(numbered, ".png"), timestamps=[0, 1, 2, 3, 4.5])),
        clip_pb2.Clip(raw=clip_pb2.RawFrames(data=raw.tobytes(), count=3, height=48, width=80)),
    )
    for clip in clips:
        here, there = decode_clip(clip, ANY, TAKES, Limits()), pool.clip(clip, ANY, TAKES)
        assert (here.frames == there.frames).all()
        assert there.frames.flags.writeable
        for name in here.__slots__:
            assert name == "frames" or getattr(here, name) == getattr(there, name), name


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("first", [None, (160, 48)])
def test_a_frame_is_the_same_wherever_it_is_decoded(pool, numbered, suffix, first):
    image = pictures(numbered, suffix)[3]
    here, there = decode_frame(image, TAKES, first, Limits(), "frame.image"), pool.frame(image, TAKES, first)
    assert (here[0] == there[0]).all()
    assert here[1] == there[1] == (80, 48)


def test_frames_for_viewing_are_the_same_wherever_they_are_decoded(pool, film):
    assert (pool.display(film, [3, 0], 64) == display_frames(film, [3, 0], 64)).all()


@pytest.mark.parametrize(
    "clip",
    [
        clip_pb2.Clip(),
        clip_pb2.Clip(video=b"no film"),
        clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[b"\xff\xd8\xff\xe0 no picture"])),
        clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[])),
    ],
)
def test_an_error_is_the_same_wherever_it_is_found(pool, clip):
    found = []
    for decoder in (InProcessDecoder(Settings()), pool):
        with pytest.raises(ActionLensError) as caught:
            decoder.clip(clip, ANY, TAKES)
        found.append((type(caught.value), caught.value.message, caught.value.field, caught.value.reason))
    assert found[0] == found[1]


def test_a_decoder_that_was_killed_is_started_again_and_nobody_notices(pool, film):
    pool.clip(film, ANY, TAKES)
    (first,), restarts = pool.pids, pool.restarts
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: gone(first))
    assert pool.clip(film, ANY, TAKES).count == 20
    assert pool.restarts == restarts + 1
    assert pool.pids != [first]


def test_work_that_ends_its_process_twice_is_refused_and_the_next_is_not(film, monkeypatch):
    """The fault of a library is made by a signal, as soon as the work is there."""
    pool = DecoderPool(Settings(decode_threads=1))
    send = messages.send

    def struck(to: socket.socket, memory: int, header: dict, parts: list) -> None:
        os.kill(pool.pids[0], signal.SIGSEGV)
        send(to, memory, header, parts)

    try:
        pool.clip(film, ANY, TAKES)
        with monkeypatch.context() as broken:
            broken.setattr(messages, "send", struck)
            with pytest.raises(InvalidArgument) as caught:
                pool.clip(film, ANY, TAKES)
        assert (caught.value.field, caught.value.reason) == ("clip.video", "DECODER_FAILED")
        assert pool.clip(film, ANY, TAKES).count == 20
        assert pool.restarts == 2
    finally:
        pool.close()


def test_a_decoder_that_hangs_is_killed_at_the_deadline(film, monkeypatch):
    monkeypatch.setattr("service.decoding.process.decoder._SPARE_SECONDS", 0.0)
    pool = DecoderPool(Settings(decode_threads=1, limits=Limits(decode_seconds=1.0)))
    try:
        pool.start()
        (hung,) = pool.pids
        pool._processes[0].call({"kind": "clip"}, [b"", b"", b""], 60.0)
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(DeadlineExceeded) as caught:
            pool.clip(film, ANY, TAKES)
        assert (caught.value.field, caught.value.reason) == ("clip.video", "DECODE_TOO_SLOW")
        assert gone(hung)
    finally:
        pool.close()


def test_a_clip_that_takes_more_memory_than_a_decoder_has_is_refused():
    few = Settings(decode_threads=1, decoder=DecoderSettings(memory_bytes=2**28))
    pool = DecoderPool(few)
    large = cv2.imencode(".jpg", np.zeros((2304, 4096, 3), np.uint8))[1].tobytes()
    takes = model_pb2.ModelInput(frames=200, height=640, width=1024, sampling="uniform")
    try:
        with pytest.raises(InvalidArgument) as caught:
            pool.clip(clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[large] * 200)), ANY, takes)
        assert caught.value.reason == "DECODER_FAILED"
        assert pool.frame(large, TAKES, None)[1] == (4096, 2304)
    finally:
        pool.close()


def test_closing_ends_the_processes_also_at_work(film):
    pool = DecoderPool(Settings(decode_threads=2))
    pool.start()
    pids = pool.pids
    assert len(pids) == 2
    told = []

    def work():
        try:
            while True:
                pool.clip(film, ANY, TAKES)
        except ActionLensError as error:
            told.append(error)

    working = threading.Thread(target=work)
    working.start()
    pool.close()
    working.join(60)
    assert all(gone(pid) for pid in pids)
    assert isinstance(told[0], Unavailable)


def test_no_decoder_survives_the_service():
    script = (
        "import os, signal; from service.decoding.process.decoder import DecoderPool; "
        "from service.settings import Settings; pool = DecoderPool(Settings(decode_threads=1)); pool.start(); "
        "pool._processes[0].call({'kind': 'clip'}, [b'', b'', b''], 60.0); print(pool.pids[0], flush=True); "
        "os.kill(pool.pids[0], signal.SIGSTOP); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=300, check=False)
    pid = int(done.stdout)
    wait_until(lambda: gone(pid))


def status(pid, name):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def test_a_decoder_has_few_rights(pool, film):
    pool.clip(film, ANY, TAKES)
    (pid,) = pool.pids
    assert status(pid, "NoNewPrivs") == "1"
    assert not can_filter() or status(pid, "Seccomp") == "2"
    bounds = Path(f"/proc/{pid}/limits").read_text()
    assert "Max open files            32                   32" in bounds
    assert "Max core file size        0                    0" in bounds


def test_what_a_decoder_may_not_do_fails():
    """The rights are given up for good, so in a process of its own: a socket, a file, a program, and memory."""
    if not can_filter():
        pytest.skip("needs pyseccomp and libseccomp")
    script = """
import os, socket
from service.decoding.process.confinement import confine
confine(2**28)
def tried(what):
    try:
        what()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "allowed"
print(*(tried(what) for what in (socket.socket, lambda: os.open("/etc/passwd", os.O_RDONLY), os.fork,
    lambda: os.execv("/bin/true", ["true"]), lambda: os.kill(os.getppid(), 0), lambda: bytearray(2**29))))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    assert told.stdout.split() == ["PermissionError"] * 5 + ["MemoryError"]


FRAME = {"shape": [24, 40, 3], "came_as": [80, 48]}


@pytest.mark.parametrize(
    ("told", "pixels"),
    [
        ({}, 0),
        (FRAME, 24 * 40 * 3 - 1),
        ({**FRAME, "shape": [40, 24, 3]}, 24 * 40 * 3),
        ({**FRAME, "shape": [-1, 40, 3]}, 25 * 40 * 3),
        ({**FRAME, "came_as": [80]}, 24 * 40 * 3),
        ({**FRAME, "came_as": "no"}, 24 * 40 * 3),
        ({"error": {"code": "OK", "message": "", "field": "", "reason": ""}}, 0),
        ({"error": []}, 0),
    ],
)
def test_a_decoder_that_lies_is_not_believed(monkeypatch, told, pixels):
    pool = DecoderPool(Settings(decode_threads=1))
    monkeypatch.setattr(pool._processes[0], "call", lambda *_: (told, [bytes(pixels)]))
    with pytest.raises(InvalidArgument) as caught:
        pool.frame(b"", TAKES, None)
    assert caught.value.reason == "DECODER_FAILED"


def test_the_place_is_a_setting():
    here = Settings(decoder=DecoderSettings(place=DecoderPlace.IN_PROCESS))
    assert isinstance(make_decoder(here), InProcessDecoder)
    assert isinstance(make_decoder(Settings()), DecoderPool)
