"""Frozen children are told from idle and busy ones; counted in looks, never in seconds."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from actionlens.heartbeat import BEAT_SECONDS, beats_of
from service.child_processes.heartbeats import Heartbeats, Stillness, is_stopped
from tests.waiting import wait_until

LOOKS = 6
Start = Callable[[str], subprocess.Popen[bytes]]
IDLE = "import sys, actionlens.heartbeat as beats; beats.start_beating(); print(flush=True); sys.stdin.read()"
# Once its input closes: one call into C that lets no other thread of the interpreter run.
BUSY = f"{IDLE}; sum(range(10**15))"
SILENT = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def heartbeats() -> Iterator[Heartbeats]:
    made = Heartbeats()
    yield made
    made.close()


@pytest.fixture
def start(heartbeats: Heartbeats) -> Iterator[Start]:
    """Starts a program and waits until it runs."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(program: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            env=os.environ | heartbeats.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline()
        return child

    yield begin
    for child in children:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()


def beaten(heartbeats: Heartbeats, pid: int) -> None:
    """Wait for the next beat."""
    before = beats_of(heartbeats._file, pid)
    wait_until(lambda: beats_of(heartbeats._file, pid) != before)


def beats_on(heartbeats: Heartbeats, pid: int) -> bool:
    """Whether it beats while it uses so much processor time that it would have beaten several times."""
    before, used = beats_of(heartbeats._file, pid), psutil.Process(pid).cpu_times().user
    wait_until(lambda: psutil.Process(pid).cpu_times().user > used + 8 * BEAT_SECONDS)
    return beats_of(heartbeats._file, pid) != before


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    # Every thread: the last one may still be beating when the first has stopped.
    wait_until(
        lambda: all(
            stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in Path(f"/proc/{pid}/task").glob("*/stat")
        )
    )


def test_an_idle_child_is_alive_until_it_is_frozen_and_again_when_it_goes_on(
    heartbeats: Heartbeats, start: Start
) -> None:
    pid = start(IDLE).pid
    heartbeats.frozen([pid])
    for _ in range(2 * LOOKS):
        beaten(heartbeats, pid)
        assert not heartbeats.frozen([pid])
    freeze(pid)
    assert is_stopped(pid)
    looks = next(count for count in itertools.count(1) if heartbeats.frozen([pid]))
    assert LOOKS <= looks <= LOOKS + 1  # the first may see the last beat
    os.kill(pid, signal.SIGCONT)
    beaten(heartbeats, pid)
    assert not heartbeats.frozen([pid])
    assert not is_stopped(pid)


def test_a_child_that_was_frozen_before_the_first_look_is_found(heartbeats: Heartbeats, start: Start) -> None:
    pid = start(IDLE).pid
    beaten(heartbeats, pid)
    freeze(pid)
    assert any(heartbeats.frozen([pid]) for _ in range(LOOKS + 1))


def test_the_beats_of_a_child_that_is_gone_are_not_those_of_the_next(heartbeats: Heartbeats, start: Start) -> None:
    pid = start(IDLE).pid
    beaten(heartbeats, pid)
    heartbeats.frozen([pid])
    freeze(pid)
    heartbeats.frozen([])
    assert beats_of(heartbeats._file, pid) == 0


def test_a_child_that_computes_without_letting_its_threads_run_is_alive(heartbeats: Heartbeats, start: Start) -> None:
    child = start(BUSY)
    beaten(heartbeats, child.pid)
    assert child.stdin is not None
    child.stdin.close()
    wait_until(lambda: not beats_on(heartbeats, child.pid))
    for _ in range(4 * LOOKS):
        assert not heartbeats.frozen([child.pid])


def test_a_child_that_never_began_to_beat_is_not_judged(heartbeats: Heartbeats, start: Start) -> None:
    pid = start(SILENT).pid
    freeze(pid)
    assert not any(heartbeats.frozen([pid]) for _ in range(2 * LOOKS))


def test_one_frozen_child_does_not_hide_another(heartbeats: Heartbeats, start: Start) -> None:
    frozen, idle = start(IDLE).pid, start(IDLE).pid
    heartbeats.frozen([frozen, idle])
    beaten(heartbeats, frozen)
    freeze(frozen)
    for _ in range(LOOKS + 2):
        beaten(heartbeats, idle)
        found = heartbeats.frozen([frozen, idle])
    assert found == {frozen}


def test_a_process_that_is_gone_shows_no_sign_of_life() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    gone = Stillness(child.pid, 2)
    assert [gone.look(alive=False) for _ in range(3)] == [False, True, True]
    assert not gone.look(alive=True)
