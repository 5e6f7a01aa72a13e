"""Action-model families, one file each, and their registry."""

from handlers.models.family import Family, Small
from handlers.models.family_registry import families, family

__all__ = ["Family", "Small", "families", "family"]
