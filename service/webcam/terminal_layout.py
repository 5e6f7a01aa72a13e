"""A live view as lines of text for a terminal of some size."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.dataplane.levels import computed
from service.rendering.colours import colour_bar
from service.webcam.cells import cells, fitted
from service.webcam.frame_store import FrameStore
from service.webcam.playback import Playback, ShownFrame
from service.webcam.sparkline import bar, sparkline, stretched
from service.webcam.state import ViewState

ERASE = "\x1b[0m\x1b[K"
"""To the end of the line."""
_SIDE = 44
"""Characters of the panel beside the image."""
_LEAST = 30
"""An image narrower than this beside the panel goes above it instead."""
_LABEL = 14
_SCALE = 16
_STATES = {"live": "green", "connecting": "yellow", "reconnecting": "yellow"}
# Of the image before it becomes cells: fine enough for the outline of a selective method.
_PIXELS = 320


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Size of the terminal in characters. image: the widest that the image may be; 0: as wide as fits. true_colour:
    whether every colour is shown; else 256 of them."""

    columns: int
    rows: int
    image: int = 0
    true_colour: bool = True


def lines(size: TerminalSize, state: ViewState, store: FrameStore, playback: Playback, prompt: str) -> list[str]:
    """`size.rows` lines with escape codes, none wider than `size.columns`. prompt: the last line, the keys."""
    shown = playback.show(_PIXELS)
    beside = size.columns - _SIDE - 2 >= _LEAST
    room = size.rows - 2
    head = _rendered(_heading(state, store), size, size.columns)[:1]
    foot = _rendered(Text(prompt, "dim", no_wrap=True, overflow="ellipsis"), size, size.columns)[:1]
    panel = _rendered(_panel(state, shown, _SIDE if beside else size.columns), size, _SIDE if beside else size.columns)
    if not beside:
        painted = _painted(shown, size, max(0, room - len(panel)), size.columns)
        body = [*painted, *panel[: room - len(painted)]]
        return [*head, *body, *[""] * (room - len(body)), *foot]
    painted = _painted(shown, size, room - 2, size.columns - _SIDE - 2)
    wide = _width(shown, size, room - 2, size.columns - _SIDE - 2)
    left = [*painted, *_rendered(_legend(state, shown), size, wide)]
    left += [""] * (room - len(left))
    panel += [""] * (room - len(panel))
    # Whatever stood between the two is erased, and the panel begins at its column.
    body = [f"{image}{ERASE}\x1b[{wide + 3}G{text}" for image, text in zip(left[:room], panel[:room], strict=True)]
    return [*head, *body, *foot]


def _heading(state: ViewState, store: FrameStore) -> Text:
    last = state.last
    style = _STATES.get(state.connection, "red")
    parts: list[tuple[str, str]] = [("ActionLens ", "bold"), (f"● {state.connection}  ", style)]
    if last is not None and not state.problem:
        message = last[0].message
        parts.append((f"{message.model} {message.version}  ", ""))
    if state.problem:
        parts.append((f"{state.problem}  trying again by itself", "yellow"))
    else:
        lag = f"lag {1000 * last[0].lag:.0f} ms" if last else "no answer yet"
        parts.append(
            # So short that 80 columns show all of it, and what matters most first.
            (f"{lag}  {store.rate.per_second:.0f} fps in  {state.rate.per_second:.1f} windows/s", "dim")
        )
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _panel(state: ViewState, shown: ShownFrame | None, width: int) -> RenderableType:
    if state.last is None:
        return Text("Waiting for the first window: the model sees several frames at once.", "dim")
    return Group(
        _summary(state),
        *_notes(state),
        Text(),
        _classes(state, width),
        Text(),
        *_time(state, shown, width),
        Text(),
        _cost(state),
    )


def _summary(state: ViewState) -> Text:
    return Text(state.summary, "bold")


def _notes(state: ViewState) -> list[Text]:
    """What is unusual about the frames."""
    notes = state.last[0].frames.notes if state.last is not None else ()
    return [Text("; ".join(notes), "yellow")] if notes else []


def _classes(state: ViewState, width: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_LABEL, no_wrap=True, overflow="ellipsis")
    meter = max(4, (width - _LABEL - 8) // 2)
    for index, score in enumerate(state.classes):
        style = "bold cyan" if index == 0 else ""
        table.add_row(
            Text(score.label, style),
            Text(bar(score.probability, meter), "cyan" if index == 0 else "dim"),
            Text(f"{100 * score.probability:3.0f} %", style),
            Text(sparkline(score.history, width - _LABEL - meter - 8, 1.0), "dim"),
        )
    return table


def _time(state: ViewState, shown: ShownFrame | None, width: int) -> list[Text]:
    curve, share = state.curve, state.motion_share
    rows = []
    if curve.size:
        wide = max(1, width // curve.size) * curve.size if curve.size <= width else width
        marks = [" "] * wide
        if shown is not None and shown.frame is not None:
            marks[min(wide - 1, (2 * shown.frame + 1) * wide // (2 * curve.size))] = "▲"
        last = str(curve.size - 1)
        rows = [
            Text(f"relevance by frame of the window: {state.method}", "dim", no_wrap=True, overflow="ellipsis"),
            Text(stretched(curve.tolist(), wide), "yellow"),
            Text("".join(marks)),
            Text(f"0{last.rjust(wide - 1)}", "dim"),
        ]
    if share is not None:
        rows.append(Text.assemble(("motion ", "dim"), (bar(share, 20), "yellow"), f" {100 * share:.0f} %, rest scene"))
    return rows


def _cost(state: ViewState) -> Text:
    last, overhead = state.last, state.overhead
    if last is None or overhead is None:
        return Text()
    counts = last[0].counts
    dropped = counts.dropped_stale + counts.dropped_full + counts.rejected
    explain, forward = overhead
    adds = f"{1000 * explain:.0f} ms to {1000 * forward:.0f} ms"
    share = f" (+{100 * explain / forward:.0f} %)" if forward > 0 else ""
    answer = last[0].message
    done = (", ".join(computed(answer)) or "prediction") + (f": {answer.level_reason}" if answer.level_reason else "")
    return Text.assemble(
        ("explaining adds ", "dim"), f"{adds}{share}\n",
        ("computed ", "dim"), f"{done}\n",
        ("frames ", "dim"), f"{counts.used} used, {dropped} dropped, {counts.missing} not sent\n",
        ("windows ", "dim"), f"{last[0].skipped_windows} skipped",
    )  # fmt: skip


def _legend(state: ViewState, shown: ShownFrame | None) -> RenderableType:
    if shown is None:
        return Text()
    if not shown.peak:
        return Text(
            f"{state.method or 'no method'}: nothing to lay over the picture" if shown.age is not None else "", "dim"
        )
    scale = colour_bar(_SCALE, 1, shown.signed)[0]
    low = f"{-shown.peak:.2g}" if shown.signed else "0"
    text = Text(f"{low} ", no_wrap=True, overflow="ellipsis")
    for red, green, blue in scale.tolist():
        text.append("█", f"rgb({red},{green},{blue})")
    meaning = "orange speaks for" if shown.signed else "bright speaks for"
    against = ", blue against" if shown.signed else ""
    target = state.explanation.message.target.label if state.explanation is not None else ""
    text.append(f" {shown.peak:.2g}  {meaning} “{target}”{against}")
    if shown.age is not None and shown.age > 1:
        text.append(f"  explained {shown.age:.0f} s ago", "yellow")
    return text


def _painted(shown: ShownFrame | None, size: TerminalSize, rows: int, columns: int) -> list[str]:
    if shown is None or rows < 1:
        return []
    tall, wide = _cells(shown, size, rows, columns)
    return cells(shown.image, tall, wide, size.true_colour)


def _width(shown: ShownFrame | None, size: TerminalSize, rows: int, columns: int) -> int:
    return columns if shown is None else _cells(shown, size, rows, columns)[1]


def _cells(shown: ShownFrame, size: TerminalSize, rows: int, columns: int) -> tuple[int, int]:
    height, width = shown.image.shape[:2]
    return fitted(height, width, rows, min(columns, size.image or columns))


def _rendered(content: RenderableType, size: TerminalSize, width: int) -> list[str]:
    """Lines with escape codes, as wide as `width` at most."""
    console = Console(
        file=io.StringIO(), width=width, height=1000, force_terminal=True, highlight=False, legacy_windows=False,
        color_system="truecolor" if size.true_colour else "256",
    )  # fmt: skip
    with console.capture() as captured:
        console.print(content)
    return captured.get().rstrip("\n").split("\n")
