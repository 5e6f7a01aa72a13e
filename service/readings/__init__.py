"""Explanations as messages, and sources' timestamps, come in; sentences for people and numbers over time go out.

The data plane calls it for the field `reading`, rendering and the live view for curves and windows of time, decoding
and streams for the time that passes between frames.
"""
