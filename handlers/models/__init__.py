"""Action-model families, one file each, and their registry."""

from handlers.models.family import Family
from handlers.models.registry import families, family

__all__ = ["Family", "families", "family"]
