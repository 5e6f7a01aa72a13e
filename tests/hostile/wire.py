"""Protobuf by hand: messages that no client library would write."""

from __future__ import annotations

EXPLAIN = "/actionlens.v1.ExplanationService/"
JOBS = "/actionlens.v1.ExplanationJobService/"
LARGEST = int(31.9 * 2**20)
"""Bytes of the largest message that the service takes, nearly."""


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


def field(number: int, content: bytes) -> bytes:
    """A field that holds bytes, text, a sub-message or a packed list."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def nested(*numbers: int, content: bytes) -> bytes:
    """A field within a field ..., the outermost first."""
    for number in reversed(numbers):
        content = field(number, content)
    return content


def many(entry: bytes, size: int) -> bytes:
    """The same field again and again, in so many bytes."""
    return entry * (size // len(entry))


def wide(size: int = LARGEST) -> dict[str, tuple[str, bytes]]:
    """Messages of so many bytes that are as expensive as such bytes can be: the call and the request of each."""
    empty = {number: field(number, b"") for number in range(1, 10)}
    numbers = bytes(size // 8 * 8)
    return {
        "clips": (f"{JOBS}CreateJob", many(empty[9], size)),
        "boxes": (f"{JOBS}CreateJob", nested(9, 4, content=many(empty[2], size))),
        "frames with masks": (f"{JOBS}CreateJob", nested(9, 4, 3, 1, content=b"\1" * size)),
        "methods": (f"{EXPLAIN}ExplainClip", many(empty[6], size)),
        "images": (f"{EXPLAIN}ExplainClip", nested(3, 2, content=many(empty[1], size))),
        "timestamps": (f"{EXPLAIN}ExplainClip", nested(3, 2, 3, content=numbers)),
        "indices": (f"{EXPLAIN}ExplainClip", nested(4, 3, 1, content=bytes(size))),
        "areas": (f"{EXPLAIN}ExplainClip", nested(6, 10, 1, content=numbers)),
        "unknown fields": (f"{EXPLAIN}GetModel", many(varint(100 << 3) + b"\0", size)),
        "a name": (f"{EXPLAIN}GetModel", field(1, b"a" * size)),
        "an id": (f"{JOBS}GetJob", field(1, b"a" * size)),
        "states": (f"{JOBS}ListJobs", nested(3, content=b"\1" * size)),
        "methods of an evaluation": (f"{JOBS}PlanEvaluation", nested(3, content=many(empty[1], size))),
        "parameters": (f"{JOBS}PlanEvaluation", nested(3, 2, 2, content=many(nested(1, content=b""), size))),
        "a service": ("/grpc.health.v1.Health/Check", field(1, b"a" * size)),
    }
