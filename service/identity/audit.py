"""The audit log: one line of JSON for every call that changes state."""

from __future__ import annotations

import json
import logging
import os
import time
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from service.data_folder import prepare
from service.settings import Settings
from service.telemetry.log import get_logger

_LONGEST = 200


class AuditLog:
    """Writes lines to the settings' file; nothing where there is none. Values are cut at 200 characters."""

    def __init__(self, settings: Settings) -> None:
        """Raises OSError for a file that cannot be written."""
        path = settings.audit.file
        if path is None and settings.authentication.required:
            path = settings.data / "audit.jsonl"
        self.path = path
        self._handler: _PrivateFile | None = None
        if path is not None:
            prepare(path.parent)
            self._handler = _PrivateFile(path, settings.audit.bytes, settings.audit.files)

    def write(self, what: str, *, who: str, on: str, tenant: str, peer: str, result: str, why: str = "") -> None:
        """Add a line. what: the RPC or act. who: the principal's name. on: the object's id. result: "OK", or the name
        of the status. why: the reason of a refusal, for programs."""
        if self._handler is None:
            return
        document = {
            "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
            "who": who,
            "what": what,
            "on": on,
            "tenant": tenant,
            "from": peer,
            "result": result,
            "why": why,
        }
        # JSON escapes what a terminal would obey, and every character beyond ASCII with it.
        line = json.dumps({key: value[:_LONGEST] for key, value in document.items() if value})
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()


class _PrivateFile(RotatingFileHandler):
    """A rotating file that its owner alone may read. What cannot be written is said in the service's log: a full disk
    stops no call."""

    def __init__(self, path: Path, size: int, count: int) -> None:
        super().__init__(path, maxBytes=size, backupCount=count, encoding="ascii")
        self.setFormatter(logging.Formatter("%(message)s"))

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding="ascii")

    def handleError(self, record: logging.LogRecord) -> None:
        """Say it, with the line that is missing."""
        get_logger().exception("the audit log could not be written", line=record.getMessage())
