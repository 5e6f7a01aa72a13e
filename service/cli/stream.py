"""`actionlens stream`: a video file, a camera or a network stream, explained window by window."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from service.cli.options import (
    Address,
    AsJson,
    BudgetMs,
    Contrast,
    Gap,
    MaxOverhead,
    Methods,
    Model,
    Target,
    budgets,
    chosen_methods,
    connect,
)
from service.printable import printable_json

if TYPE_CHECKING:
    from rich.console import Console

    from service.client import ExplainedStream, WindowResult
    from service.client.stream_messages import StreamOptions

# How long the last windows and the summary may take after the end was asked for.
_LAST_SECONDS = 10.0


def stream(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A video file, a folder of pictures, a camera number (0), or an address (rtsp://host/path).",
        ),
    ],
    model: Model = "",
    method: Methods = None,
    target: Target = None,
    contrast: Contrast = None,
    gap: Gap = False,
    stride: Annotated[
        int,
        typer.Option(min=0, help="Source frames between two model frames; 0: the model card's. Larger sees longer."),
    ] = 0,
    hop: Annotated[
        int, typer.Option(min=0, help="Source frames between two windows; 0: the stride. Larger answers less often.")
    ] = 0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a file again at its end, without end.")] = False,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime", help="Play a file at its own speed, as a camera would: what comes too late is left out."
        ),
    ] = False,
    fps: Annotated[float, typer.Option(min=0.1, help="Frames per second of a folder of pictures.")] = 12.0,
    live: Annotated[
        bool | None,
        typer.Option(
            "--live/--recording",
            help="What an address is: answered newest first, or without loss.",
            show_default="a recording has a length or a size",
        ),
    ] = None,
    reconnect: Annotated[
        bool | None,
        typer.Option(
            "--reconnect/--no-reconnect",
            help="Open a live source again that broke off or ended, with growing pauses; else that ends the command "
            "with exit code 1.",
            show_default="cameras and rtsp addresses",
        ),
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, metavar="N", help="End after so many seconds.")] = None,
    max_windows: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many windows.")] = None,
    jpeg_quality: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="Of the frames on their way to the service: lower is smaller and blurs motion."
        ),
    ] = 90,
    raw: Annotated[
        bool, typer.Option("--raw", help="Send pixels instead of JPEG: no loss, ten times the bytes.")
    ] = False,
    max_side: Annotated[
        int, typer.Option(min=0, help="Scale frames down to this longer side in pixels before sending; 0: never.")
    ] = 640,
    budget_ms: BudgetMs = None,
    max_overhead: MaxOverhead = None,
    address: Address = "",
    as_json: AsJson = False,
) -> None:
    """Explain a stream, one line per window.

    A file, also one behind an address, is answered without loss, every window in order. A camera, a live address and
    --realtime are answered newest first: late frames and windows are dropped, and counted. With a budget, windows get
    as many of the methods as it allows.
    """
    from service.cli.terminal import out
    from service.client.frame_sources import open_source
    from service.errors import ActionLensError

    report = partial(typer.echo, err=True)
    opened = open_source(source, loop=loop, realtime=realtime, fps=fps, live=live, reconnect=reconnect, report=report)
    options: StreamOptions = {
        "model": model,
        "methods": chosen_methods(method),
        "target": target,
        "contrast": contrast,
        "encoding": "float16",
        "stride": stride,
        "hop": hop,
        "fill": "drop-oldest" if opened.live else "block",
        "consume": "newest" if opened.live else "every",
        "jpeg_quality": None if raw else jpeg_quality,
        "max_side": max_side,
        "insertion_deletion_gap": gap,
    }
    options.update(budgets(budget_ms, max_overhead))
    console = out()
    with connect(address) as client, client.explain_stream(opened.frames, **options) as windows:
        with _Ending(windows, opened.close) as ending:
            if seconds is not None:
                ending.after(seconds)
            broken: ActionLensError | None = None
            try:
                _follow(windows, ending, console, max_windows, as_json)
            except ActionLensError as error:
                if error.field != "source" or windows.summary is None:
                    raise
                broken = error
        show_summary(windows, console, as_json)
    if ending.signal:
        raise typer.Exit(128 + ending.signal)
    if broken is not None:
        raise broken


class _Ending:
    """Ends a stream and its source: after some time, or at Ctrl-C or SIGTERM, at the second one without grace."""

    def __init__(self, windows: ExplainedStream, close_source: Callable[[], None]) -> None:
        self.signal = 0
        self._windows = windows
        self._close_source = close_source
        self._timers: list[threading.Timer] = []
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __enter__(self) -> Self:
        for number in self._before:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        for timer in self._timers:
            timer.cancel()

    def after(self, seconds: float) -> None:
        """End when so much time has passed."""
        timer = threading.Timer(seconds, self.now)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def now(self) -> None:
        """Take no more frames, and drop the stream when its last answers take too long."""
        self._close_source()
        self._windows.end()
        timer = threading.Timer(_LAST_SECONDS, self._windows.close)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()

    def _on_signal(self, number: int, _: object) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        # Not here: the interrupted code may hold the locks that ending takes.
        self.after(0.0)


def _follow(windows: ExplainedStream, ending: _Ending, console: Console, most: int | None, as_json: bool) -> None:
    """Show windows until the stream ends, at most `most`; why methods are missing beside others once per reason, and
    what is unusual about the frames where that begins."""
    said: set[str] = set()
    kinds: set[str] = set()
    for shown, window in enumerate(windows, start=1):
        if most is not None and shown > most:
            continue
        if as_json:
            print(printable_json(_document(window)), flush=True)
        else:
            if shown == 1:
                console.print(_TITLES, style="bold")
            reason, _, _ = window.message.level_reason.partition(";")
            if reason and window.explanations and reason not in said:
                said.add(reason)
                console.print(f"        {reason}", style="yellow", highlight=False)
            # Only the numbers differ between the windows over one event.
            notes = {re.sub(r"[\d.]+", "", note): note for note in window.frames.notes}
            for kind in notes.keys() - kinds:
                console.print(f"        {notes[kind]}", style="yellow", highlight=False)
            kinds = set(notes)
            _show(window, console)
        if shown == most:
            ending.now()


_TITLES = "window   time s  class              %  lag ms dropped skipped  computed      reading"


def _show(window: WindowResult, console: Console) -> None:
    from rich.text import Text

    from service.dataplane.levels import computed_briefly

    answer = window.message
    best = window.prediction.top[0]
    at = answer.frames.timestamps[-1] if answer.frames.timestamps else 0.0
    counts = window.counts
    dropped = counts.dropped_stale + counts.dropped_full + counts.rejected + counts.missing
    readings = [entry.reading for entry in window.explanations.values() if not entry.failed]
    cells = (
        (f"{window.window:6d}", "dim"),
        (f"{at:9.2f}", ""),
        (f"  {best.label:<14.14}", "bold cyan"),
        (f"{100 * best.probability:6.0f}", ""),
        (f"{1000 * window.lag:8.0f}", "dim"),
        (f"{dropped:8d}", "yellow" if dropped else "dim"),
        (f"{window.skipped_windows:8d}  ", "yellow" if window.skipped_windows else "dim"),
        (f"{computed_briefly(answer):<14.13}", "yellow" if answer.level_reason else "green"),
        (readings[-1] if readings else answer.level_reason, ""),
        ("" if window.agreement is None else f"; agreement {window.agreement:.2f}", "dim"),
    )
    console.print(Text.assemble(*cells), no_wrap=True, overflow="ellipsis")


def _document(window: WindowResult) -> dict[str, Any]:
    from service.rendering.json_document import answer_document, message_document

    return {
        "window": window.window,
        "lag": window.lag,
        "skipped_windows": window.skipped_windows,
        "counts": message_document(window.counts),
        "answer": answer_document(window.message)[0],
        "received_at": time.time(),
    }


def show_summary(windows: ExplainedStream, console: Console, as_json: bool) -> None:
    """Show the totals of a stream's frames and windows, once it has ended."""
    summary = windows.summary
    if summary is None:
        typer.echo("the stream ended without a summary", err=True)
        return
    counts = summary.counts
    elapsed = summary.elapsed.ToNanoseconds() / 1e9
    if as_json:
        from service.rendering.json_document import message_document

        print(printable_json({"summary": message_document(summary)}))
        return
    answered = summary.windows - summary.skipped_windows
    rate = f", {answered / elapsed:.1f} answers/s" if elapsed > 0 else ""
    console.print(
        f"\n{summary.windows} windows = {answered} answered + {summary.skipped_windows} skipped "
        f"in {elapsed:.1f} s{rate}\n"
        f"{counts.received} frames received = {counts.used} used + {counts.dropped_stale} in no answered window "
        f"+ {counts.dropped_full} over the buffer + {counts.rejected} rejected + {counts.waiting} waiting; "
        f"{counts.missing} left out before sending"
        + (f"; {counts.resized} brought to the size of the first" if counts.resized else "")
        + (f"; {counts.clock_jumps} jumps of the source's clock" if counts.clock_jumps else ""),
        style="bold",
        soft_wrap=True,
    )
