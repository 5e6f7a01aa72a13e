"""Carries relevance and guided gradients down through a program.

In come a forward pass and a target (with a contrast, or a rule); out goes one value per unit of the clip or layer.
Called through handlers.relevance by explainers and exporting; relevance.temporal uses `descend`.
"""
