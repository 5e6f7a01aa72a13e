from __future__ import annotations

import numpy as np
import pytest

from service.webcam.cells import cells, fitted


def test_two_pixels_stand_in_each_cell() -> None:
    red, green, blue, grey = (252, 0, 0), (0, 252, 0), (0, 0, 252), (128, 128, 128)
    image = np.array([[red, red, blue], [green, green, grey]], np.uint8)
    assert cells(image, 1, 3, true_colour=True) == [
        # The second cell is as the first one, so its colours are not said again.
        "\x1b[38;2;252;0;0m\x1b[48;2;0;252;0m▀▀\x1b[38;2;0;0;252m\x1b[48;2;128;128;128m▀\x1b[0m"
    ]


def test_with_256_colours_the_nearest_is_taken() -> None:
    # Exactly of the colour cube: 16 + 36 * 5 + 6 * 0 + 0 and 16 + 6 * 2 + 5. Greys: 232 + 12 is exactly 128.
    image = np.array([[(255, 0, 0)], [(0, 135, 255)], [(128, 128, 128)], [(10, 9, 8)]], np.uint8)
    assert cells(image, 2, 1, true_colour=False) == [
        "\x1b[38;5;196m\x1b[48;5;33m▀\x1b[0m",
        "\x1b[38;5;244m\x1b[48;5;232m▀\x1b[0m",
    ]


def test_a_line_has_a_character_per_column_whatever_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for true_colour in (True, False):
        lines = cells(image, 7, 19, true_colour)
        assert [line.count("▀") for line in lines] == [19] * 7


@pytest.mark.parametrize(
    ("size", "room", "expected"),
    [
        ((120, 160), (30, 80), (30, 80)),  # 60 x 80 pixels are 30 lines
        ((120, 160), (30, 40), (15, 40)),  # bounded by the width
        ((120, 160), (10, 200), (10, 26)),  # bounded by the height
        ((10, 1000), (30, 50), (1, 50)),  # never nothing
    ],
)
def test_pixels_stay_square(size: tuple[int, int], room: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted(*size, *room) == expected
