"""The classes of generated clips and how flips of a clip permute them."""

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

#: The ten and an eleventh, of which webcam-like clips have some too: motion that none of the ten names.
NAMES: Final[tuple[str, ...]] = (*CLASSES, "something else")

LEFT, RIGHT, UP, DOWN, APPROACH, RECEDE, CLOCKWISE, COUNTER, SHAKE, STILL, OTHER = range(len(NAMES))

#: Label after mirroring columns, mirroring rows, swapping rows with columns, and reversing time (index = old label).
MIRROR_COLUMNS: Final = (RIGHT, LEFT, UP, DOWN, APPROACH, RECEDE, COUNTER, CLOCKWISE, SHAKE, STILL, OTHER)
MIRROR_ROWS: Final = (LEFT, RIGHT, DOWN, UP, APPROACH, RECEDE, COUNTER, CLOCKWISE, SHAKE, STILL, OTHER)
TRANSPOSE: Final = (UP, DOWN, LEFT, RIGHT, APPROACH, RECEDE, COUNTER, CLOCKWISE, SHAKE, STILL, OTHER)
REVERSE_TIME: Final = (RIGHT, LEFT, DOWN, UP, RECEDE, APPROACH, COUNTER, CLOCKWISE, SHAKE, STILL, OTHER)
