"""Errors of the torch side. Each carries a google.rpc code number, so that the envelope can pass it on."""

from __future__ import annotations

CANCELLED = 1
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
INTERNAL = 13


class ModelError(ValueError):
    """A model that cannot be loaded; the message names the file or tensor that does not fit."""


class RequestError(ValueError):
    """A request, or one of its methods, that cannot be answered.

    code: google.rpc.Code. field: the part of the request at fault. reason: UPPER_SNAKE_CASE, for programs.
    """

    def __init__(
        self, message: str, *, field: str = "", reason: str = "INVALID_ARGUMENT", code: int = INVALID_ARGUMENT
    ):
        super().__init__(message)
        self.message = message
        self.field = field
        self.reason = reason
        self.code = code
