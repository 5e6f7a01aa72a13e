"""Action-model families, one file each, and their registry."""

from handlers.models.family import Family, FrameHead
from handlers.models.registry import families, family

__all__ = ["Family", "FrameHead", "families", "family"]
