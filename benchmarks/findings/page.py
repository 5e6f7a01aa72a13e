"""docs/findings.md, from the results."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.findings.finding import PAPERS, ordered, p_text
from benchmarks.findings.meanings import MEANINGS, OPEN, TESTED

_HEAD = """# The papers' findings, obtained again

ActionLens implements the methods of five papers. This page says which of the papers' findings about models and methods
hold on the models and clips at hand, and which do not. It is written by `python -m benchmarks.findings --table` from
the results in `benchmarks/results/findings`, which `python -m benchmarks.findings` measures.

Read it with this in mind:

* The papers use networks for Kinetics, Something-Something, UCF-101 and EPIC-Kitchens. Here the networks are small:
  `motion-primitives` (3-D CNN, 16 frames of 112 x 112), `motion-trn` (temporal relation network, eight snippets of two
  frames, 48 x 48), comparison networks (below), and two public ones (a gesture network, an LRCN). Numbers are not to be
  compared one to one; the direction is.
* Clips are generated (`actionlens/generated_clips`), were never trained on, and come with exact masks of what moves.
  Where real clips are used the table says so; there are few of them.
* "Same?" is the direction: yes, partly, or no. Intervals are 95 % bootstrap intervals over clips. p is of what is named
  in brackets: a paired sign-flip test over clips, or Welch's test where it says so; not corrected for the number of
  findings on this page.

Measure them yourself:

    python -m training.comparison c-lstm --out out/comparison/c-lstm    # and so on, those below; minutes each
    python -m benchmarks.findings [A1 B3 ...] [--clips N] [--seed S] [--resume]
    python -m benchmarks.findings --table

Without names all findings are measured; `--resume` goes on after a stop, `--clips` takes more clips or fewer.
"""

NETWORKS = "networks.json"
"""File beside the results: what the comparison networks can do."""


def _networks(results: Path) -> str:
    """The table of the comparison networks; empty where none is there."""
    path = results / NETWORKS
    if not path.exists():
        return ""
    rows = [
        f"| {name} | {own['steps']} | {own['accuracy']:.3f} | {own['f1']:.3f} |"
        for name, own in json.loads(path.read_text(encoding="utf-8")).items()
    ]
    head = (
        "## Comparison networks\n\nTrained by `python -m training.comparison` on generated clips of 48 x 48; held-out "
        "accuracy (chance: 0.1) and F1 on 500 clips. They are as weak as a few minutes of training make them; where "
        "two are compared by their masks, the better one is taken from an earlier step, of equal F1. `tsn` has the "
        "backbone of `motion-trn`, `steps-N` are fine-tuned from `motion-primitives` with the mean over N of its 16 "
        "output steps as logits, `tam-K` mixes K frames in every block.\n\n| network | steps | accuracy | F1 |\n"
        "|---|---|---|---|"
    )
    return "\n".join([head, *rows]) + "\n"


def write_page(results: Path, page: Path) -> None:
    """Write the page from the results that are there; what is not is listed at its end."""
    files = [path for path in results.glob("*.json") if path.name != NETWORKS]
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    measured = [entry for entry in ordered() if entry.name in found]
    counts = {same: sum(found[entry.name]["same"] == same for entry in measured) for same in ("yes", "partly", "no")}
    parts = [
        _HEAD,
        f"Of {len(measured)} findings measured, {counts['yes']} show the paper's direction, {counts['partly']} do in "
        f"part, and {counts['no']} do not; {len(ordered()) - len(measured) + len(OPEN)} are open.\n",
    ]
    for letter, title in PAPERS.items():
        entries = [entry for entry in measured if entry.name.startswith(letter)]
        if not entries:
            continue
        parts.append(f"## {title}\n\n| | finding | paper | ours | n | same? |\n|---|---|---|---|---|---|")
        for entry in entries:
            record = found[entry.name]
            p = "" if record["p"] is None else f"; {p_text(record['p'])} ({TESTED[entry.name]})"
            cells = (entry.name, entry.claim, entry.published, record["ours"] + p, record["n"], record["same"])
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
        meant = {entry.name: MEANINGS[entry.name].get(found[entry.name]["same"], "") for entry in entries}
        parts += [f"* **{name}** {sentence}" for name, sentence in meant.items() if sentence]
        parts.append("")
    if table := _networks(results):
        parts.append(table)
    missing = [entry.name for entry in ordered() if entry.name not in found]
    parts.append("## Open\n")
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.\n")
    parts += [f"* **{name}** {claim} ({published}): {why}" for name, (claim, published, why) in OPEN.items()]
    parts.append("")
    seeds = sorted({record["seed"] for record in found.values()})
    seconds = sum(record["cpu_seconds"] for record in found.values())
    parts.append(
        f"Seeds of the clips: {', '.join(map(str, seeds))}. Measuring took {seconds / 60:.0f} minutes of one core. "
        "Everything that was measured is in the JSON files.\n"
    )
    page.write_text("\n".join(parts), encoding="utf-8")
