"""Explanations as messages come in; sentences for people and relevance over time as numbers go out.

The data plane calls it for the field `reading`, the rendering and the live view for curves and windows of time.
"""
