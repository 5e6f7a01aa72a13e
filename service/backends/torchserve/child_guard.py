"""Guards one TorchServe: a small process between the service and java, run as a script.

    python -I -S child_guard.py FOLDER COMMAND... [-- HELPER...]

It starts the command in FOLDER, in a process group of its own, and in the same group a helper of it, whose end nobody
minds. It writes "started PID" to standard output, then
"exited STATUS" once the command has ended. Standard input is the service's lifeline: when it closes, the guard kills
the whole group, removes FOLDER and ends. A number of seconds written there before closing is the time the command
gets to stop by itself. So nothing survives the service, not even when it is killed without a chance to tidy up: the
kernel closes the pipe. Should the guard itself be killed, the kernel kills java (parent-death signal), and a worker
ends when its socket to java closes.

Only the standard library, and little of it, is imported: the process stays small and starts within tens of
milliseconds.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_REAP_SECONDS = 5.0


def main() -> None:
    """Run the command until it ends and the lifeline closes."""
    folder, *command = sys.argv[1:]
    helper: list[str] = []
    if "--" in command:
        place = command.index("--")
        command, helper = command[:place], command[place + 1 :]
    # Orphaned workers become children of this process, so that all can be waited for.
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # The lifeline alone decides. Handlers, because ignored signals would stay ignored in java.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    guard = os.getpid()

    def die_with_guard() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    java = None
    try:
        with open(os.path.join(folder, "java.out"), "ab") as output:

            def start(program: list[str], group: int) -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    program,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    process_group=group,
                    preexec_fn=die_with_guard,
                )

            java = start(command, 0)
            helping = []
            if helper:
                with contextlib.suppress(OSError, subprocess.SubprocessError):  # the command can do without
                    helping.append(start(helper, java.pid))
        say(f"started {java.pid}")
        attend(java, woken)
    finally:
        if java is not None:
            sweep(java.pid)
        shutil.rmtree(folder, ignore_errors=True)


def attend(java: subprocess.Popen[bytes], woken: int) -> None:
    """Return when the lifeline has closed and the command has ended or used up its grace."""
    sent, grace, end = b"", 0.0, float("inf")
    open_fds, ended = {0, woken}, False
    while True:
        if not ended and java.poll() is not None:
            ended = True
            sweep(java.pid)
            say(f"exited {java.returncode}")
        if 0 not in open_fds and (ended or time.monotonic() >= end):
            return
        wait = None if end == float("inf") else max(0.0, end - time.monotonic())
        readable, _, _ = select.select(list(open_fds), [], [], wait)
        if woken in readable:
            os.read(woken, 4096)
        if 0 in readable:
            data = os.read(0, 64)
            sent += data
            if not data:
                open_fds.discard(0)
                grace = float(sent or 0)
                end = time.monotonic() + grace
                if grace > 0 and not ended:
                    os.killpg(java.pid, signal.SIGTERM)


def sweep(group: int) -> None:
    """Kill what is left of the group and wait until it is gone."""
    end = time.monotonic() + _REAP_SECONDS
    while time.monotonic() < end:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere the guard still works, save when it is killed itself."""
    function = getattr(ctypes.CDLL(None), "prctl", None)
    if function is not None:
        function(option, value, 0, 0, 0)


def say(line: str) -> None:
    """Report to the service, which may be gone."""
    with contextlib.suppress(OSError):
        os.write(1, line.encode() + b"\n")


if __name__ == "__main__":
    main()
