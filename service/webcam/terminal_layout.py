"""A live view as lines of text for a terminal of some size."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.dataplane.levels import computed
from service.rendering.colours import bar as colour_scale
from service.webcam.cells import cells, fitted
from service.webcam.frame_store import Footage
from service.webcam.playback import Projector, Shown
from service.webcam.sparkline import bar, sparkline, stretched
from service.webcam.state import Watch

ERASE = "\x1b[0m\x1b[K"
"""To the end of the line."""
_SIDE = 44
"""Characters for what stands beside the picture."""
_LEAST = 30
"""A picture narrower than this beside the panel goes above it instead."""
_LABEL = 14
_SCALE = 16
_STATES = {"live": "green", "connecting": "yellow", "reconnecting": "yellow"}
# Of the picture before it becomes cells: fine enough for the outline of a selective method.
_PIXELS = 320


@dataclass(frozen=True, slots=True)
class Size:
    """Of the terminal in characters. picture: the widest that the picture may be; 0: as wide as fits. true_colour:
    whether every colour is shown; else 256 of them."""

    columns: int
    rows: int
    picture: int = 0
    true_colour: bool = True


def lines(size: Size, watch: Watch, footage: Footage, projector: Projector, prompt: str) -> list[str]:
    """`size.rows` lines with escape codes, none wider than `size.columns`. prompt: the last line, the keys."""
    shown = projector.show(_PIXELS)
    beside = size.columns - _SIDE - 2 >= _LEAST
    room = size.rows - 2
    head = _rendered(_heading(watch, footage), size, size.columns)[:1]
    foot = _rendered(Text(prompt, "dim", no_wrap=True, overflow="ellipsis"), size, size.columns)[:1]
    panel = _rendered(_panel(watch, shown, _SIDE if beside else size.columns), size, _SIDE if beside else size.columns)
    if not beside:
        painted = _painted(shown, size, max(0, room - len(panel)), size.columns)
        body = [*painted, *panel[: room - len(painted)]]
        return [*head, *body, *[""] * (room - len(body)), *foot]
    painted = _painted(shown, size, room - 2, size.columns - _SIDE - 2)
    wide = _width(shown, size, room - 2, size.columns - _SIDE - 2)
    left = [*painted, *_rendered(_legend(watch, shown), size, wide)]
    left += [""] * (room - len(left))
    panel += [""] * (room - len(panel))
    # What stood between the two is erased, and the panel begins at its column.
    body = [f"{picture}{ERASE}\x1b[{wide + 3}G{text}" for picture, text in zip(left[:room], panel[:room], strict=True)]
    return [*head, *body, *foot]


def _heading(watch: Watch, footage: Footage) -> Text:
    last = watch.last
    style = _STATES.get(watch.state, "red")
    parts: list[tuple[str, str]] = [("ActionLens ", "bold"), (f"● {watch.state}  ", style)]
    if last is not None and not watch.trouble:
        message = last[0].message
        parts.append((f"{message.model} {message.version}  ", ""))
    if watch.trouble:
        parts.append((f"{watch.trouble}  trying again by itself", "yellow"))
    else:
        lag = f"lag {1000 * last[0].lag:.0f} ms" if last else "no answer yet"
        parts.append(
            # So short that 80 columns show all of it, and what matters most first.
            (f"{lag}  {footage.rate.per_second:.0f} fps in  {watch.rate.per_second:.1f} windows/s", "dim")
        )
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _panel(watch: Watch, shown: Shown | None, width: int) -> RenderableType:
    if watch.last is None:
        return Text("Waiting for the first window: the model sees several frames at once.", "dim")
    return Group(
        _says(watch), Text(), _classes(watch, width), Text(), *_time(watch, shown, width), Text(), _cost(watch)
    )


def _says(watch: Watch) -> Text:
    return Text(watch.sentence, "bold")


def _classes(watch: Watch, width: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_LABEL, no_wrap=True, overflow="ellipsis")
    meter = max(4, (width - _LABEL - 8) // 2)
    for place, standing in enumerate(watch.standings):
        style = "bold cyan" if place == 0 else ""
        table.add_row(
            Text(standing.label, style),
            Text(bar(standing.probability, meter), "cyan" if place == 0 else "dim"),
            Text(f"{100 * standing.probability:3.0f} %", style),
            Text(sparkline(standing.history, width - _LABEL - meter - 8, 1.0), "dim"),
        )
    return table


def _time(watch: Watch, shown: Shown | None, width: int) -> list[Text]:
    curve, share = watch.curve, watch.motion_share
    rows = []
    if curve.size:
        wide = max(1, width // curve.size) * curve.size if curve.size <= width else width
        marks = [" "] * wide
        if shown is not None and shown.frame is not None:
            marks[min(wide - 1, (2 * shown.frame + 1) * wide // (2 * curve.size))] = "▲"
        last = str(curve.size - 1)
        rows = [
            Text(f"relevance by frame of the window: {watch.layer}", "dim", no_wrap=True, overflow="ellipsis"),
            Text(stretched(curve.tolist(), wide), "yellow"),
            Text("".join(marks)),
            Text(f"0{last.rjust(wide - 1)}", "dim"),
        ]
    if share is not None:
        rows.append(Text.assemble(("motion ", "dim"), (bar(share, 20), "yellow"), f" {100 * share:.0f} %, rest scene"))
    return rows


def _cost(watch: Watch) -> Text:
    last, overhead = watch.last, watch.overhead
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


def _legend(watch: Watch, shown: Shown | None) -> RenderableType:
    if shown is None:
        return Text()
    if not shown.peak:
        return Text(
            f"{watch.layer or 'no method'}: nothing to lay over the picture" if shown.age is not None else "", "dim"
        )
    scale = colour_scale(_SCALE, 1, shown.signed)[0]
    low = f"{-shown.peak:.2g}" if shown.signed else "0"
    text = Text(f"{low} ", no_wrap=True, overflow="ellipsis")
    for red, green, blue in scale.tolist():
        text.append("█", f"rgb({red},{green},{blue})")
    meaning = "orange speaks for" if shown.signed else "bright speaks for"
    against = ", blue against" if shown.signed else ""
    target = watch.entry.message.target.label if watch.entry is not None else ""
    text.append(f" {shown.peak:.2g}  {meaning} “{target}”{against}")
    if shown.age is not None and shown.age > 1:
        text.append(f"  explained {shown.age:.0f} s ago", "yellow")
    return text


def _painted(shown: Shown | None, size: Size, rows: int, columns: int) -> list[str]:
    if shown is None or rows < 1:
        return []
    tall, wide = _cells(shown, size, rows, columns)
    return cells(shown.picture, tall, wide, size.true_colour)


def _width(shown: Shown | None, size: Size, rows: int, columns: int) -> int:
    return columns if shown is None else _cells(shown, size, rows, columns)[1]


def _cells(shown: Shown, size: Size, rows: int, columns: int) -> tuple[int, int]:
    height, width = shown.picture.shape[:2]
    return fitted(height, width, rows, min(columns, size.picture or columns))


def _rendered(content: RenderableType, size: Size, width: int) -> list[str]:
    """Lines with escape codes, as wide as `width` at most."""
    console = Console(
        file=io.StringIO(), width=width, height=1000, force_terminal=True, highlight=False, legacy_windows=False,
        color_system="truecolor" if size.true_colour else "256",
    )  # fmt: skip
    with console.capture() as captured:
        console.print(content)
    return captured.get().rstrip("\n").split("\n")
