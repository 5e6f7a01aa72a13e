"""Puts together what every entry asks of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.descriptor import MethodDescriptor

from service.ingress.caller import Caller, current
from service.ingress.quotas import Kind, Quotas
from service.ingress.request_parser import RequestParser
from service.settings import Settings

_PROBES = ("grpc.health.", "grpc.reflection.")


class Ingress:
    """The quotas and the parser that gRPC and the page share. first_seconds, receive_seconds: as in the settings."""

    def __init__(self, settings: Settings) -> None:
        self.quotas = Quotas(settings)
        self.parser = RequestParser()
        self.first_seconds = settings.quotas.first_seconds
        self.receive_seconds = settings.quotas.receive_seconds

    @asynccontextmanager
    async def admitted(self, method: MethodDescriptor, caller: Caller) -> AsyncIterator[None]:
        """Hold a place for a call, and make its caller the current one, while the block runs. Raises QuotaExceeded."""
        with self.quotas.holding(place_of(method), caller):
            current.set(caller)
            yield

    def close(self) -> None:
        """Stop the threads."""
        self.parser.close()


def place_of(method: MethodDescriptor) -> Kind:
    """Say of which places a call takes one."""
    if method.containing_service.full_name.startswith(_PROBES):
        return Kind.PROBES
    if method.client_streaming:
        return Kind.STREAMS
    return Kind.WATCHES if method.server_streaming else Kind.CALLS
