"""Explanation methods, one file each, and their registry."""

from handlers.explainers.explainer import Explainer, Method, Parameters
from handlers.explainers.iteration import IterativeExplainer, Question, State
from handlers.explainers.method_registry import explainer, iterative, methods

__all__ = [
    "Explainer",
    "IterativeExplainer",
    "Method",
    "Parameters",
    "Question",
    "State",
    "explainer",
    "iterative",
    "methods",
]
