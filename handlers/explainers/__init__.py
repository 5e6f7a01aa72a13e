"""Explanation methods, one file each, and their registry."""

from handlers.explainers.explainer import Explainer, Parameters
from handlers.explainers.registry import explainer, explainers

__all__ = ["Explainer", "Parameters", "explainer", "explainers"]
