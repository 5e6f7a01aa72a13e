"""Brings high dynamic range and wide gamut to the pixels of an ordinary screen (BT.709 primaries, 8 bits).

As ffmpeg's `zscale=t=linear:npl=203:agamma=0, zscale=p=bt709, tonemap=mobius:param=0.95:peak=4.926:desat=0,
zscale=t=bt709` does it. Light is counted in units of reference white, which BT.2408 puts at 203 cd/m2: a white page
shows as white. Up to 95 % of it nothing changes but the primaries; brighter light is compressed, up to 1000 cd/m2, by
its largest component, so that hues stay. The curve is the same for every frame: one that follows the content would show
the model brightness that moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_REFERENCE_WHITE = 203.0
_PEAK = 1000.0 / _REFERENCE_WHITE
_KNEE = 0.95
# BT.1886: what screens make of 8-bit pixels.
_SCREEN_GAMMA = 2.4
_UNKNOWN = (0, 2)
# Rows that are converted at once: what is in work stays small and in the cache.
_ROWS = 64


class Transfer(IntEnum):
    """Transfer characteristics, as numbered by ITU-T H.273, that are not those of an ordinary screen."""

    PQ = 16
    HLG = 18


class Primaries(IntEnum):
    """Colour primaries of H.273 that are wider than BT.709's."""

    BT2020 = 9
    DCI_P3 = 11
    DISPLAY_P3 = 12


@dataclass(frozen=True, slots=True)
class Light:
    """What pixels mean beyond BT.709: None is what BT.709 means."""

    transfer: Transfer | None
    primaries: Primaries | None

    @property
    def ordinary(self) -> bool:
        return self.transfer is None and self.primaries is None


def light_of(transfer: int, primaries: int) -> Light:
    """The meaning of pixels with these numbers of H.273; PQ and HLG that do not say have BT.2020 primaries."""
    curve = next((known for known in Transfer if known == transfer), None)
    wide = next((known for known in Primaries if known == primaries), None)
    return Light(curve, Primaries.BT2020 if curve is not None and primaries in _UNKNOWN else wide)


def to_screen(pixels: NDArray[np.uint16], light: Light, white: int) -> NDArray[np.uint8]:
    """Pixels as they are coded, uint16 [H, W, 3] RGB, as uint8 [H, W, 3] RGB of an ordinary screen.

    white: the code of a signal of 1.0; larger ones count as that.
    """
    shown = np.empty(pixels.shape, np.uint8)
    table = _linear(light.transfer, white)
    for top in range(0, len(pixels), _ROWS):
        linear = table[pixels[top : top + _ROWS]]
        if light.transfer is Transfer.HLG:
            linear *= _hlg_gain(linear)[..., None]
        if light.primaries is not None:
            linear = np.asarray(cv2.transform(linear, _to_bt709(light.primaries)), np.float32)
        if light.transfer is not None:
            _compress(linear)
        np.clip(linear, 0, 1, out=linear)
        shown[top : top + _ROWS] = np.rint(np.asarray(cv2.pow(linear, 1 / _SCREEN_GAMMA)) * np.float32(255))
    return shown


@cache
def _linear(transfer: Transfer | None, white: int) -> Floats:
    """Light of each code 0 .. 65535 in units of reference white; of HLG the scene's, 0 .. 1."""
    signal = np.minimum(np.arange(2**16) / white, 1.0)
    match transfer:
        case Transfer.PQ:  # SMPTE ST 2084
            powered = signal ** (32 / 2523)
            light = (np.maximum(powered - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * powered)) ** (16384 / 2610)
            light *= 10_000 / _REFERENCE_WHITE
        case Transfer.HLG:  # ARIB STD-B67
            bright = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
            light = np.where(signal <= 0.5, signal**2 / 3, bright)
        case _:
            light = signal**_SCREEN_GAMMA
    return light.astype(np.float32)


def _hlg_gain(scene: Floats) -> Floats:
    """From the scene's light to that of a screen of 1000 cd/m2 (BT.2100's system gamma of 1.2)."""
    luminance = cv2.transform(scene, np.array([[0.2627, 0.6780, 0.0593]], np.float32))
    return np.asarray(cv2.pow(luminance, 0.2), np.float32) * np.float32(_PEAK)


def _compress(linear: Floats) -> None:
    """Compress light above the knee, in place: slope 1 at the knee, 1.0 at the peak (a Moebius transform)."""
    level = np.maximum(np.maximum(linear[..., 0], linear[..., 1]), linear[..., 2])
    if level.max() <= _KNEE:
        return
    # At the knee the gain is 1, and so it is below.
    np.maximum(level, np.float32(_KNEE), out=level)
    a = -_KNEE * _KNEE * (_PEAK - 1) / (_KNEE * _KNEE - 2 * _KNEE + _PEAK)
    b = (_KNEE * _KNEE - 2 * _KNEE * _PEAK + _PEAK) / (_PEAK - 1)
    top = (b * b + 2 * b * _KNEE + _KNEE * _KNEE) / (b - a)
    linear *= (np.float32(top) * (level + np.float32(a)) / ((level + np.float32(b)) * level))[..., None]


@cache
def _to_bt709(primaries: Primaries) -> Floats:
    """The matrix from linear light of these primaries to BT.709's. Both have the white of D65 but DCI P3's."""
    bt709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290))
    source = {
        Primaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), (0.3127, 0.3290)),
        # DCI's own white is greenish; screens show it as theirs.
        Primaries.DCI_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
        Primaries.DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290)),
    }[primaries]
    return np.asarray(np.linalg.inv(_to_xyz(bt709)) @ _to_xyz(source), np.float32)


def _to_xyz(chromaticities: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in chromaticities]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
