"""What the service and a decoder process say to each other.

Contents lie in memory that both have open: a header as JSON, then parts of bytes. Over the socket goes the length of
both alone, and so whoever reads waits on the socket. Nothing is ever unpickled: the decoder's word is not trusted.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

Part = bytes | memoryview
_LENGTHS = struct.Struct(">QQ")
_LONGEST_HEADER = 2**24
READY = _LENGTHS.pack(0, 0)


def send(to: socket.socket, memory: int, header: dict[str, Any], parts: Sequence[Part]) -> None:
    """Write a message and announce it. memory: file descriptor of the shared memory. Raises OSError."""
    head = json.dumps({**header, "parts": [len(part) for part in parts]}).encode()
    blocks = [memoryview(block) for block in (head, *parts)]
    position = 0
    for block in blocks:
        while block:
            written = os.pwrite(memory, block, position)
            position, block = position + written, block[written:]
    to.sendall(_LENGTHS.pack(len(head), position - len(head)))


def receive(by: socket.socket, memory: int, most: int) -> tuple[dict[str, Any], list[bytes]] | None:
    """Wait for a message: its header and parts; None when the other side has gone.

    most: bytes that a message may have. Raises TimeoutError, OSError, and ValueError for what is no message.
    """
    lengths = heard(by)
    if not lengths:
        return None
    head, rest = _LENGTHS.unpack(lengths)
    if not 0 < head <= _LONGEST_HEADER or rest > most:
        raise ValueError(f"a message of {head} and {rest} bytes")
    header = json.loads(_read(memory, head, 0))
    parts, position = [], head
    for length in header["parts"]:
        if not 0 <= length <= head + rest - position:
            raise ValueError("a part that is longer than its message")
        parts.append(_read(memory, length, position))
        position += length
    return header, parts


def heard(by: socket.socket) -> bytes:
    """Wait for an announcement; empty when the other side has gone. Raises TimeoutError and OSError."""
    lengths = b""
    while len(lengths) < _LENGTHS.size:
        more = by.recv(_LENGTHS.size - len(lengths))
        if not more:
            return b""
        lengths += more
    return lengths


def _read(memory: int, length: int, position: int) -> bytes:
    """Copied out: a mapping would end the reader when the other side makes the memory shorter."""
    data = os.pread(memory, length, position)
    if len(data) != length:
        raise ValueError("memory is shorter than was said")
    return data
