"""Errors as one line for people. Imports nothing heavy, since it runs for every failure."""

from __future__ import annotations

from actionlens.extras import explain_missing
from service.printable import printable


def explain_failure(error: BaseException) -> str:
    """An error in one line, without a traceback: what happened and where."""
    if missing := explain_missing(error):
        return missing
    if type(error).__name__ == "ValidationError" and getattr(error, "title", "") == "Settings":
        from service.setting_files import refused_setting

        return printable(refused_setting(error))  # type: ignore[arg-type]
    field = getattr(error, "field", "")
    message = getattr(error, "message", "") or str(error) or type(error).__name__
    if getattr(error, "detail", ""):  # of an error that arose here: who reads it runs the service
        message = str(error)
    message = printable(message, keep="\n\t")
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif not hasattr(error, "reason"):
        # Not an error that was foreseen: its kind is part of what happened.
        message = f"{type(error).__name__}: {message}"
    if field and not message.startswith(str(field).split(".")[0]):
        message = f"{field}: {message}"
    after = getattr(error, "retry_after", None)
    return f"{message}; try again in {after:g} s" if after else message
