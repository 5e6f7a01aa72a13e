"""The part of the model's frames that is no letterbox bar."""

from __future__ import annotations

from actionlens.v1 import answer_pb2
from actionlens.worker.v1 import worker_pb2


def visible_part(placement: answer_pb2.Placement) -> worker_pb2.Rectangle:
    """The pixels of the model's frame that show the source, not bars."""
    return worker_pb2.Rectangle(
        left=max(0, round(placement.left)),
        top=max(0, round(placement.top)),
        right=min(placement.frame_width, round(placement.left + placement.width)),
        bottom=min(placement.frame_height, round(placement.top + placement.height)),
    )
