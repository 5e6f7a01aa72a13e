"""One number of one clip, as it reaches the statistics, and the names of methods that are none."""

from __future__ import annotations

from dataclasses import dataclass

RANDOM = "random"
"""Method of the rows of random explanations."""

EXACT_MASK = "exact-mask"
"""Method of the rows of the exact mask of what the class is about: the oracle that every measure should prefer."""

BASELINES = (RANDOM, "centre", "edges", "uniform")
"""Methods that have not looked at the clip's scores."""

WEIGHT = "annotated-frames"
"""Value of a measure by which its clips weigh in the means of classes; where there is none, all weigh alike."""

HIGHER, LOWER = "higher", "lower"
"""Which way a number is good; "" where it is neither."""


@dataclass(frozen=True, slots=True)
class ClipMeasurement:
    """One value of one measure of one method on one clip.

    clip: a name that no other clip of the set has. method: as the user wrote it; "" for measures of the model alone,
    "a & b" for those of two methods together. number: None where it is left out; then left_out says why. better:
    "higher", "lower" or "". unit: "", "probability", "%", "frames", "px".
    """

    clip: str
    method: str
    measure: str
    value: str
    number: float | None
    left_out: str = ""
    better: str = ""
    unit: str = ""


def title_of(measure: str, value: str) -> str:
    """A number by its measure: "insertion:steps=16", "frame-discard removable"."""
    return measure if value in (measure, measure.partition(":")[0]) else f"{measure} {value}"


def p_text(p: float) -> str:
    """A p-value after the letter: "= 0.02", "< 0.001"."""
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"
