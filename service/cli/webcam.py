"""`actionlens webcam`: the live view of a camera, a file or a network stream, on a terminal."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import (
    Address,
    BudgetMs,
    Contrast,
    MaxOverhead,
    Methods,
    Model,
    Target,
    budgets,
    chosen_methods,
    connect,
)

if TYPE_CHECKING:
    from service.client.stream_messages import StreamOptions


def webcam(
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]",
            help="A camera number or device (0, /dev/video0), a video file or a folder of pictures (over and over, at "
            "its own speed), or an address (rtsp://host/path).",
        ),
    ] = "0",
    model: Model = "",
    method: Methods = None,
    target: Target = None,
    contrast: Contrast = None,
    width: Annotated[int, typer.Option(min=0, help="Of the picture: most characters; 0: what fits.")] = 0,
    text: Annotated[bool, typer.Option("--text", help="Stay on the terminal; the view is always there.")] = False,
    budget_ms: BudgetMs = None,
    max_overhead: MaxOverhead = None,
    address: Address = "",
) -> None:
    """Watch a model live: the picture with the heat over it, its classes, when its evidence lies, and what that costs.

    On the terminal, also over SSH. q quits, m goes on to the next method, t takes another class to explain. Where the
    output is no terminal, one line per window.
    """
    from service.cli.terminal import out

    if not sys.stdout.isatty():
        from service.cli.stream import stream

        stream(
            source, model, method, target, contrast, loop=True, realtime=True,
            budget_ms=budget_ms, max_overhead=max_overhead, address=address,
        )  # fmt: skip
        return
    from service.cli.stream import show_summary
    from service.client.frame_sources import open_source
    from service.webcam.frame_store import FrameStore
    from service.webcam.loop import run_view
    from service.webcam.playback import Playback
    from service.webcam.reconnecting_stream import ReconnectingStream
    from service.webcam.state import ViewState
    from service.webcam.terminal_view import TerminalView

    question: StreamOptions = {
        "model": model,
        "methods": chosen_methods(method),
        "target": target,
        "contrast": contrast,
        **budgets(budget_ms, max_overhead),
    }
    state = ViewState(question)
    frame_source = open_source(source, loop=True, realtime=True, report=state.disconnected)
    console = out()
    with connect(address) as client:
        store = FrameStore(frame_source)
        playback = Playback(store, state)
        live = ReconnectingStream(client, store, state)
        display = TerminalView(state, store, playback, width, console.color_system == "truecolor")
        before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
        stopped: typer.Exit | None = None
        try:
            run_view(display, state, live, playback)
        except typer.Exit as exit_:
            stopped = exit_
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            live.close()
    if live.failure is not None:
        raise live.failure
    if live.stream is not None and live.stream.summary is not None:
        show_summary(live.stream, console, as_json=False)
    if stopped is not None:
        raise stopped


def _stop(number: int, _: object) -> None:
    """Leave the view, which gives the terminal back."""
    raise typer.Exit(128 + number)
