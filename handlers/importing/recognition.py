"""Recognises a checkpoint by the names and shapes of its tensors, with no card beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from handlers.errors import ModelError
from handlers.models.family import Family
from handlers.models.family_registry import families

Shapes = dict[str, tuple[int, ...]]

_LIKELY = 0.5
"""From this share of equal tensors on, a checkpoint looks like a family's."""


@dataclass(frozen=True)
class FittedCheckpoint:
    """A checkpoint under a family's own names; notes: what was renamed, for people."""

    state: dict[str, Tensor]
    classes: int
    notes: tuple[str, ...]


def fit(entry: Family, given: dict[str, Tensor], said: str = "") -> FittedCheckpoint:
    """The tensors as the family names them, with the number of classes that their head has.

    Prefixes are taken off, and a head of other names is mapped where exactly one pair of tensors has its shape.
    said: what the checkpoint says about itself, for messages; without it they say what it looks like.
    Raises ModelError naming the first tensor that is missing, left over or of another shape, with both shapes, and the
    family that the file looks like.
    """
    expected, head = _shapes(entry)
    state, notes = _named(entry, expected, given)
    state, classes = _with_head(expected, head, state, notes)
    for name, shape in expected.items():
        if name not in state:
            count = sum(other in state for other in expected)
            size = ["K" if axis == head.get(name) else width for axis, width in enumerate(shape)]
            raise ModelError(
                f"weights: {name} [{', '.join(map(str, size))}] is missing; the file has {count} of the "
                f"{len(expected)} tensors of {entry.name}{_hint(entry, given, said)}"
            )
        wanted = _sized(shape, head.get(name), classes)
        if tuple(state[name].shape) != wanted:
            found = f"{list(state[name].shape)}, {entry.name} takes {list(wanted)}"
            raise ModelError(f"weights: {name} is {found}{_hint(entry, given, said)}")
    for name, tensor in state.items():
        if name not in expected and not name.endswith("num_batches_tracked"):
            raise ModelError(
                f"weights: {name} {list(tensor.shape)} has no place in {entry.name}{_hint(entry, given, said)}"
            )
    return FittedCheckpoint(state, classes, tuple(notes))


def looks_like(given: dict[str, Tensor]) -> tuple[tuple[str, ...], float]:
    """The families of which most tensors are there with equal shapes, and their share; ((), 0) where none has half.

    Several where they differ in their input alone, as X3D-XS, S and M do.
    """
    names: tuple[str, ...] = ()
    most = 0.0
    for entry in families().values():
        if entry.reported is not None:
            entry = _reported(entry, tuple(entry.reported(given).arguments.items()))
        try:
            expected, head = _shapes(entry)
        except ModelError:
            # Without a card's arguments it has no layout of its own.
            continue
        state, _ = _named(entry, expected, given)
        body = [name for name in expected if name not in head]
        equal = sum(name in state and tuple(state[name].shape) == expected[name] for name in body)
        spare = sum(name not in head and not name.endswith("num_batches_tracked") for name in state)
        share = equal / max(len(body), spare)
        if share >= _LIKELY and share >= most:
            names, most = ((*names, entry.name) if share == most else (entry.name,)), share
    return names, most


@cache
def _reported(entry: Family, arguments: tuple[tuple[str, object], ...]) -> Family:
    """The same family for the same arguments, so that its shapes are worked out once."""
    return entry.with_arguments(dict(arguments))


@cache
def _shapes(entry: Family) -> tuple[Shapes, dict[str, int]]:
    """Shapes of the family's tensors for two classes, and for those of the head the axis that counts the classes."""
    two, three = (_layout(entry, classes) for classes in (2, 3))
    head = {
        name: next(axis for axis, (a, b) in enumerate(zip(shape, three[name], strict=True)) if a != b)
        for name, shape in two.items()
        if shape != three[name]
    }
    return two, head


def _layout(entry: Family, classes: int) -> Shapes:
    try:
        with torch.device("meta"):
            module = entry.build(classes=classes)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ModelError(f"arguments: {entry.name}: {error}") from error
    return {
        name: tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def _named(entry: Family, expected: Shapes, given: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors without the prefix behind which most of them have the family's names."""
    best: dict[str, Tensor] = given
    hits, notes = -1, list[str]()
    for prefix in _prefixes(expected, given):
        state = entry.named({name.removeprefix(prefix): tensor for name, tensor in given.items()})
        found = sum(name in state for name in expected)
        if found > hits:
            best, hits, notes = state, found, [f"prefix {prefix!r} taken off"] if prefix else []
    return best, notes


def _prefixes(expected: Shapes, given: dict[str, Tensor]) -> list[str]:
    """The prefixes of the family's own names in the file; the empty one first."""
    first = next(iter(expected))
    ends = {name.removesuffix(first) for name in given if name.endswith("." + first)}
    return ["", *sorted(ends | {name.partition(".")[0] + "." for name in given if "." in name})]


def _with_head(
    expected: Shapes, head: dict[str, int], state: dict[str, Tensor], notes: list[str]
) -> tuple[dict[str, Tensor], int]:
    """The tensors with the head under the family's names, and how many classes it has."""
    absent = [name for name in expected if name not in state]
    spare = [name for name in state if name not in expected and not name.endswith("num_batches_tracked")]
    if absent and set(absent) == set(head) and len(absent) == len(spare):
        chosen = {
            name: [other for other in spare if _fits(expected[name], head[name], state[other])] for name in absent
        }
        if all(len(options) == 1 for options in chosen.values()):
            state = dict(state)
            for name, (other,) in chosen.items():
                state[name] = state.pop(other)
                notes.append(f"{other} is taken for {name}")
    for name, axis in head.items():
        if name in state and state[name].dim() == len(expected[name]):
            return state, state[name].shape[axis]
    return state, 2


def _fits(shape: tuple[int, ...], axis: int, tensor: Tensor) -> bool:
    return tensor.dim() == len(shape) and tuple(tensor.shape) == _sized(shape, axis, tensor.shape[axis])


def _sized(shape: tuple[int, ...], axis: int | None, classes: int) -> tuple[int, ...]:
    """A shape for two classes as it is for so many."""
    if axis is None:
        return shape
    return (*shape[:axis], classes, *shape[axis + 1 :])


def _hint(entry: Family, given: dict[str, Tensor], said: str) -> str:
    if said:
        return said
    names, share = looks_like(given)
    if not names:
        return "; it looks like no known family's"
    if entry.name in names:
        return f"; {share:.0%} of the other tensors fit, so it is part of such a checkpoint, or a changed network's"
    return f"; it looks like {' or '.join(names)} ({share:.0%} of its tensors fit): --family {names[0]}"
