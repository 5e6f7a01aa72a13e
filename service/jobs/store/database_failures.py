"""Failures of the job database: its own, which may pass, or of a value that it was to keep, which will not."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import ActionLensError, InvalidArgument, ResourceExhausted, Unavailable

DAMAGED = "JOB_DATABASE_DAMAGED"
"""Reason of the errors that say that the file is."""

_RETRY_SECONDS = 2.0
_FULL = ("disk is full", "No space left", "disk I/O error")
_DAMAGED = ("malformed", "is not a database")
# Classes of SQLSTATE: data exceptions, broken constraints, statements that are wrong, limits of the program.
_OF_VALUES = ("22", "23", "42", "54")
# But these are of the tables: gone, or not ours to read.
_OF_TABLES = ("42P01", "42501")


def is_outage(error: BaseException) -> bool:
    """Whether the database itself failed: unreachable, overloaded, full, read-only or damaged. Every statement would;
    trying again later may help. False for a value that it does not take, and for all that is no database's error."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return not isinstance(
            error.orig, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError | sqlite3.ProgrammingError
        )
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return state in _OF_TABLES or not state.startswith(_OF_VALUES)
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, or none of its own. Waiting does not mend it."""
    return any(sign in first_line(error) for sign in _DAMAGED)


def reported(error: DBAPIError) -> ActionLensError:
    """A database's failure as clients see it."""
    text = first_line(error)
    if not is_outage(error):
        return InvalidArgument("the job database does not take a value of the request", reason="BAD_VALUE", detail=text)
    if any(sign in text for sign in _FULL):
        return ResourceExhausted(
            "the disk of the job database is full", reason="DISK_FULL", retry_after=_RETRY_SECONDS, detail=text
        )
    if is_damage(error):
        return Unavailable("the job database is damaged", reason=DAMAGED, retry_after=_RETRY_SECONDS, detail=text)
    return Unavailable(
        "the job database does not answer", reason="JOB_DATABASE_UNAVAILABLE", retry_after=_RETRY_SECONDS, detail=text
    )


def first_line(error: BaseException) -> str:
    """The driver's message, or that of any other error, in one line; its kind where it has none."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
