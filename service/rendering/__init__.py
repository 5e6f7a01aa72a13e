"""Answers and uint8 RGB frames come in; overlays, contact sheets, videos, JSON and NPZ files go out.

The data plane calls it for overlays, jobs for downloads, the command line for its result files and live view.
"""
