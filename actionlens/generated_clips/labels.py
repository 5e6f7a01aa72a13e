"""The ten classes of "motion-primitives" and how flips of a clip permute them."""

from __future__ import annotations

from typing import Final

#: Class names in logit order. Directions are *image* coordinates: "move left" ends at smaller column numbers.
CLASSES: Final[tuple[str, ...]] = (
    "move left",
    "move right",
    "move up",
    "move down",
    "approach",
    "recede",
    "rotate clockwise",
    "rotate counter-clockwise",
    "shake",
    "still",
)

LEFT, RIGHT, UP, DOWN, APPROACH, RECEDE, CLOCKWISE, COUNTER, SHAKE, STILL = range(len(CLASSES))

#: Label after mirroring columns, mirroring rows, swapping rows with columns, and reversing time (index = old label).
MIRROR_COLUMNS: Final = (RIGHT, LEFT, UP, DOWN, APPROACH, RECEDE, COUNTER, CLOCKWISE, SHAKE, STILL)
MIRROR_ROWS: Final = (LEFT, RIGHT, DOWN, UP, APPROACH, RECEDE, COUNTER, CLOCKWISE, SHAKE, STILL)
TRANSPOSE: Final = (UP, DOWN, LEFT, RIGHT, APPROACH, RECEDE, COUNTER, CLOCKWISE, SHAKE, STILL)
REVERSE_TIME: Final = (RIGHT, LEFT, DOWN, UP, RECEDE, APPROACH, COUNTER, CLOCKWISE, SHAKE, STILL)
