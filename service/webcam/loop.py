"""A live view from its first picture to its last: keys in, pictures out."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from service.webcam.keys import single
from service.webcam.playback import Projector
from service.webcam.prompt import Prompt
from service.webcam.reconnecting_stream import Link
from service.webcam.state import Watch


class Display(AbstractContextManager["Display"], Protocol):
    """Where a live view is drawn."""

    def turn(self, prompt: str) -> str:
        """Draw once, with the prompt, and return the keys that were pressed meanwhile, waiting a little."""
        ...


def view(display: Display, watch: Watch, link: Link, projector: Projector) -> None:
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
