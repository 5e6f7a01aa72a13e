"""The outcome of a block, and whose fault it was when it failed."""

from __future__ import annotations

import errno
from enum import Enum, StrEnum
from typing import Any

from grpc import StatusCode

from service.errors import ActionLensError, Unavailable
from service.jobs.store.database_failures import first_line

#: The entry that a block's step leaves in DBOS's record; JSON: "outcome", and by outcome "state" or "failure".
Report = dict[str, Any]


class Outcome(StrEnum):
    """How a block, or a clip, ended."""

    GOING = "going"
    DONE = "done"
    """The iteration is over; the result is still to be made."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DROPPED = "dropped"
    """The clip was taken away meanwhile: its job is deleted, or another attempt has begun."""


class Fault(Enum):
    """Who is to blame."""

    CLIP = "the clip or the request: it would fail again"
    MACHINE = "the machine: it may pass, and other clips would fail as well"
    UNKNOWN = "perhaps the clip: worth some attempts"


_SUSPECT = frozenset(
    {"UNFORESEEN", "WORKER_DIED", "COMPUTE_TOO_LONG", "TORCHSERVE_START_FAILED", "MODEL_UNFIT", "ARTEFACT_DAMAGED"}
)
_EXHAUSTED = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT)
_LONGEST = 2000
"""Characters of a failure's message."""
_MACHINE = frozenset({"DISK_FULL", "OVER_CAPACITY"})


def fault_of(error: ActionLensError) -> Fault:
    """Whose fault an error of a block is."""
    if error.reason in _SUSPECT:
        return Fault.UNKNOWN
    if error.code is StatusCode.DEADLINE_EXCEEDED and error.reason != "DECODE_TOO_SLOW":
        return Fault.UNKNOWN
    if error.code is StatusCode.UNAVAILABLE or error.reason in _MACHINE:
        return Fault.MACHINE
    return Fault.CLIP


def trouble_of(error: Exception) -> ActionLensError:
    """An error that nobody foresaw, as one of a block: of the machine where that has run out of something, else perhaps
    of the clip."""
    if isinstance(error, ActionLensError):
        return error
    exhausted = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _EXHAUSTED)
    if exhausted or "can't start new thread" in str(error):
        return Unavailable(f"the job worker's machine has run out: {first_line(error)}", reason="MACHINE_EXHAUSTED")
    # No more of it: it may name paths and hosts, and the log has all.
    return ActionLensError(
        f"{type(error).__name__} in the job worker, which nobody foresaw; its log says where", reason="UNFORESEEN"
    )


def failure_of(error: ActionLensError | None, times: int = 1) -> dict[str, Any]:
    """The fields of actionlens.v1.Failure. error: the last one, if this worker has seen it. times: attempts made."""
    if error is None:
        return {
            "code": StatusCode.INTERNAL.value[0],
            "message": f"the job worker died {times} times while it computed one block of this clip",
            "reason": "WORKER_DIED",
        }
    message = error.message if times == 1 else f"{error.message} ({times} attempts)"
    return {
        "code": error.code.value[0],
        # Workers know lists of methods only.
        "message": _printable(message.replace("methods[0]", "method")),
        "field": _printable(error.field.replace("methods[0]", "method")),
        "reason": error.reason,
    }


def _printable(text: str) -> str:
    """What every database and terminal takes: no control characters, no halves of surrogate pairs, not too long."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text[:_LONGEST])
