"""Frames of a source and a question come in; explained frames, classes and costs go out, drawn on a terminal.

A stream of the client explains the frames meanwhile. The command `actionlens webcam` calls.
"""
