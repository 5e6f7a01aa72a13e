"""Shows models on a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from service.cli.terminal import out


def show_model(row: dict[str, Any]) -> None:
    """One model as a message or a card says it, with what the methods can explain of it."""
    console = out()
    size = row["input"]
    console.print(f"[bold]{row['name']}[/bold] {row['version']}  {row['architecture']}")
    if row.get("description"):
        console.print(f"  {row['description']}")
    shown = ", shown as optical flow" if size.get("color") == "flow" else ""
    cut = f" out of a shorter side of {size['shorter']}" if size.get("shorter") else ""
    digest = row.get("weights_digest") or row["weights"]["sha256"]
    rate = f" of {size['fps']:g} frames a second" if size.get("fps") else ""
    windows = f", {size['windows']} windows" if size.get("windows", 1) > 1 else ""
    console.print(
        f"  input    {size['frames']} frames of {size['width']} x {size['height']}, {size['resize']}{cut}{shown}; "
        f"{size['sampling']} sampling{rate}, stride {size['stride']}{windows}"
    )
    console.print(f"  weights  sha256 {digest[:16]}")
    if row.get("scores"):
        console.print(f"  scores   {row['scores']}")
    for note in row.get("notes", ()):
        console.print(f"  note     {note}", style="yellow", soft_wrap=True)
    console.print(f"  classes  {', '.join(row['labels'])}", soft_wrap=True)
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for column in ("method", "parameter", "default", "what it is"):
        table.add_column(column)
    for method in row.get("methods", []):
        able = method["supported"]
        kind = "as a job: " if method.get("job") else ""
        about = kind + method["description"] if able else f"[red]cannot explain this model: {method['reason']}[/red]"
        table.add_row(f"[green]{method['method']}[/green]" if able else f"[red]{method['method']}[/red]", "", "", about)
        for parameter in method.get("parameters", []) if able else []:
            default = parameter["default_value"]
            table.add_row("", parameter["name"], "" if default == "null" else default, parameter["description"])
    if row.get("methods"):
        console.print(table)


def show_report(report: dict[str, Any]) -> None:
    """The steps of loading a model as the service would, and the methods that can explain it."""
    console = out()
    steps = Table.grid(padding=(0, 2))
    for step in report["steps"]:
        mark = "[green]ok[/green]" if step["passed"] else "[red]no[/red]"
        steps.add_row("", mark, step["name"], step["detail"])
    console.print(f"[bold]{report['model']}[/bold]")
    console.print(steps)
    methods = Table.grid(padding=(0, 2))
    for method in report["methods"]:
        mark = "[green]yes[/green]" if method["supported"] else "[yellow]no[/yellow]"
        spent = f"{1000 * method['seconds']:.1f} ms besides the forward"
        methods.add_row("", mark, method["method"], method["reason"] or spent)
    if report["methods"]:
        console.print("can be explained by")
        console.print(methods)
