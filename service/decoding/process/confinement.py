"""Takes from this process what a decoder does not need: memory without bound, files, the network, other processes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
from importlib.util import find_spec

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_FILES = 32
_SYSTEM_CALLS = (
    *("read", "write", "readv", "writev", "pread64", "pwrite64", "lseek", "close", "fstat", "newfstatat"),
    *("mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "futex", "membarrier", "rseq", "set_robust_list"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit", "exit_group"),
    *("clock_gettime", "clock_nanosleep", "nanosleep", "gettimeofday", "getrandom", "getrusage", "getcpu"),
    *("getpid", "gettid", "sched_yield", "sched_getaffinity", "recvfrom", "sendto", "poll", "ppoll"),
)
"""All that decoding takes, on descriptors that are open already. Any other is answered with EPERM."""


def die_with(parent: int) -> None:
    """End when the thread that started this process ends, also when the parent is killed. Linux only."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def confine(memory_bytes: int) -> bool:
    """Give up rights for good. memory_bytes: that may be asked for beyond what is held now.

    Everything that is imported or opened late must have been before. Returns whether system calls are filtered, which
    takes the package pyseccomp and the system's libseccomp; the bounds are set without it too.
    """
    with open("/proc/self/statm", encoding="ascii") as statm:
        held = int(statm.read().split()[0]) * resource.getpagesize()
    _bound(resource.RLIMIT_AS, held + memory_bytes)
    _bound(resource.RLIMIT_FSIZE, memory_bytes)
    _bound(resource.RLIMIT_NOFILE, _FILES)
    _bound(resource.RLIMIT_CORE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    return _filter_system_calls()


def allow_seconds(seconds: float) -> None:
    """Let this process compute so much longer, and then end it: should nobody be there to do it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _bound(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime + seconds) + 1, soft_only=True)


def can_filter() -> bool:
    """Whether system calls of a decoder are filtered: `pip install 'actionlens[seccomp]'`, and libseccomp."""
    if find_spec("pyseccomp") is None:
        return False
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError):  # the package is there, the library is not
        return False
    return hasattr(pyseccomp, "SyscallFilter")


def _filter_system_calls() -> bool:
    if not can_filter():
        return False
    import pyseccomp

    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    for name in _SYSTEM_CALLS:
        # Not every machine has all of them.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            rules.add_rule(pyseccomp.ALLOW, name)
    # Of itself only: the bound on its time is set anew for each clip.
    rules.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    rules.load()
    return True


def _bound(kind: int, value: int, *, soft_only: bool = False) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard if soft_only else value))


def _prctl(option: int, value: int) -> None:
    function = getattr(ctypes.CDLL(None), "prctl", None)
    if function is not None:
        function(option, value, 0, 0, 0)
