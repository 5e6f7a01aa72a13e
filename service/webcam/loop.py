"""Runs a live view from its first image to its last: keys in, images out."""

from __future__ import annotations

from service.webcam.keys import single_keys
from service.webcam.playback import Playback
from service.webcam.prompt import Prompt
from service.webcam.reconnecting_stream import ReconnectingStream
from service.webcam.state import ViewState
from service.webcam.terminal_view import TerminalView


def run_view(display: TerminalView, state: ViewState, stream: ReconnectingStream, playback: Playback) -> None:
    """Show the stream until q is pressed or the stream is over."""
    prompt = Prompt()
    with display:
        while not stream.over:
            prompt.labels = tuple(state.model.labels) if state.model is not None else ()
            target = None if state.target is None else str(state.target)
            for key in single_keys(display.draw(prompt.line(state.method, target))):
                action = prompt.press(key)
                if action == "quit":
                    return
                if action == "method":
                    state.select_next_method()
                    stream.update_question()
                elif action == "rescale":
                    playback.rescale()
                elif isinstance(action, tuple):
                    state.target = action[1]
                    stream.update_question()
