"""A live view from its first picture to its last: keys in, pictures out."""

from __future__ import annotations

from service.webcam.keys import single
from service.webcam.playback import Projector
from service.webcam.prompt import Prompt
from service.webcam.reconnecting_stream import Link
from service.webcam.state import Watch
from service.webcam.terminal_view import Terminal


def view(display: Terminal, watch: Watch, link: Link, projector: Projector) -> None:
    """Show the stream until q is pressed or the stream is over."""
    prompt = Prompt()
    with display:
        while not link.over:
            prompt.labels = tuple(watch.model.labels) if watch.model is not None else ()
            target = None if watch.target is None else str(watch.target)
            for key in single(display.turn(prompt.line(watch.layer, target))):
                action = prompt.press(key)
                if action == "quit":
                    return
                if action == "method":
                    watch.look_at_the_next()
                    link.ask()
                elif action == "rescale":
                    projector.rescale()
                elif isinstance(action, tuple):
                    watch.target = action[1]
                    link.ask()
