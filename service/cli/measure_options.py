"""Reads the measures of the command line, and chooses some where none is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from actionlens.v1 import model_pb2
from service.errors import InvalidArgument

DEFAULTS = (
    "insertion:steps=16",
    "deletion:steps=16",
    "saliency-metric",
    "pointing-game",
    "temporal-pointing-game",
    "motion-precision",
    "agreement",
)
"""Of these, what the model and the ground truth allow: none takes long."""


def chosen_measures(given: Sequence[str], model: model_pb2.Model, known: frozenset[str], methods: int) -> list[str]:
    """The measures as people write them, each once: those given, else the default ones.

    known: parts of the ground truth that some clip has. methods: how many are measured.
    """
    if given:
        return list(dict.fromkeys(split_measures(given)))
    supports = {support.measure: support for support in model.measures}
    chosen = []
    for text in DEFAULTS:
        support = supports.get(text.partition(":")[0])
        if support is None or not support.supported or not set(support.needs) <= known:
            continue
        if support.subject == "explanations" and methods < 2:
            continue
        chosen.append(text)
    return chosen


def split_measures(given: Iterable[str]) -> list[str]:
    """Measures of a list with commas: a part that only sets a value belongs to the measure before it, so that
    "insertion:steps=64,fade=true,deletion" is two.

    Raises InvalidArgument for a part that belongs to none.
    """
    found: list[str] = []
    for text in given:
        parts = [part.strip() for part in text.split(",")]
        for number, part in enumerate(parts):
            name, equals, _ = part.partition("=")
            if not equals or ":" in name:
                if part:
                    found.append(part)
            elif number and found:
                found[-1] += ("," if ":" in found[-1] else ":") + part
            else:
                raise InvalidArgument(
                    f"measure: {part!r} is a parameter of no measure; write NAME:{part}", field="measure"
                )
    return found
