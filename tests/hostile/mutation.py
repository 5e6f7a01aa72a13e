"""Cases out of seeds: deterministic by target, run and number."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_NUMBERS = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
_MOST = 1 << 16
"""Bytes of a case; what takes a long file to break is not for a fuzzer."""

Repair = Callable[[bytes, random.Random], bytes]
"""Makes checksums and lengths around a mutated part right again, so that what lies behind them is reached too."""


def case(
    name: str, seed: int, number: int, seeds: Sequence[bytes], words: Sequence[bytes], repair: Repair | None
) -> bytes:
    """The bytes of one case."""
    chance = random.Random(f"{name}/{seed}/{number}")
    data = chance.choice(seeds)
    if repair is not None and chance.random() < 0.5:
        return repair(data, chance)
    return mutated(data, chance, words, seeds)


def mutated(data: bytes, chance: random.Random, words: Sequence[bytes] = (), seeds: Sequence[bytes] = ()) -> bytes:
    """The data with one to eight changes, small ones more often than large ones."""
    made = bytearray(data)
    for _ in range(min(8, 1 + int(chance.expovariate(0.6)))):
        made = _CHANGES[chance.randrange(len(_CHANGES))](made, chance, words, seeds)
    return bytes(made[:_MOST])


def _flip(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _set(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def _number(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    """A number of 2, 4 or 8 bytes that lengths and sizes go wrong at."""
    size = chance.choice((1, 2, 4, 8))
    if len(data) >= size:
        at = chance.randrange(len(data) - size + 1)
        order = chance.choice(("little", "big"))
        old = int.from_bytes(data[at : at + size], order)
        new = chance.choice((chance.choice(_NUMBERS), old + 1, old - 1, old * 2, chance.getrandbits(8 * size)))
        data[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, order)
    return data


def _digits(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    """Another number in the place of one that is written in digits."""
    found = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", data)]
    if found:
        begin, end = chance.choice(found)
        new = chance.choice(
            (b"0", b"-1", b"1e308", b"1e999", b"nan", b"9" * 400, b"4294967296", b"0x_", b".5", b"null")
        )
        data[begin:end] = new
    return data


def _remove(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    begin = chance.randrange(len(data) + 1)
    del data[begin : begin + 1 + int(chance.expovariate(1 / 16))]
    return data


def _cut(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    return data[: chance.randrange(len(data) + 1)]


def _repeat(data: bytearray, chance: random.Random, *_: object) -> bytearray:
    if data:
        begin = chance.randrange(len(data))
        part = data[begin : begin + 1 + int(chance.expovariate(1 / 24))]
        data[begin:begin] = part * chance.choice((1, 1, 2, 8, 200))
    return data


def _insert(data: bytearray, chance: random.Random, words: Sequence[bytes], _: object) -> bytearray:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(words) if words else chance.randbytes(1 + chance.randrange(8))
    return data


def _splice(data: bytearray, chance: random.Random, _: object, seeds: Sequence[bytes]) -> bytearray:
    if not seeds:
        return data
    other = chance.choice(seeds)
    begin = chance.randrange(len(other) + 1)
    part = other[begin : begin + 1 + int(chance.expovariate(1 / 64))]
    at = chance.randrange(len(data) + 1)
    data[at : at + chance.choice((0, len(part)))] = part
    return data


_CHANGES = (
    _flip,
    _flip,
    _set,
    _set,
    _number,
    _number,
    _number,
    _digits,
    _remove,
    _cut,
    _repeat,
    _insert,
    _insert,
    _splice,
)
