"""Recognises a checkpoint by the names and shapes of its tensors, with no card beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from handlers.errors import ModelError
from handlers.models.family import Family
from handlers.models.family_registry import families
from handlers.tensor_files.weights import is_averaged, some

Shapes = dict[str, tuple[int, ...]]

_INNER = re.compile(r"(^|\.)(?:module\.)+")
"""What data parallelism puts into the names of a part that it wraps."""
_BESIDE = re.compile(
    r"(criterion|loss(es)?(_fn|_func|_function)?|metrics?|(train|val|valid|test)_(acc|accuracy|loss|metrics?|f1|auroc)\w*)\."
    r"|(\w+_)?(ema|swa|shadow|averaged)(_\w+)?\.",
    re.IGNORECASE,
)
"""What training frameworks keep beside the network in its own state: losses with weights, metrics, other averages."""
_LIKELY = 0.5
"""From this share of equal tensors on, a checkpoint looks like a family's."""


@dataclass(frozen=True)
class FittedCheckpoint:
    """A checkpoint under a family's own names; classes: as its head has; 0: its network takes no number of them. notes:
    what was renamed, for people."""

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
    plain, said_of_names = unwrapped(entry, given)
    state, notes = entry.named(plain), list(said_of_names)
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
    return FittedCheckpoint(state, classes if head else 0, tuple(notes))


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
        state = _named(entry, expected, given)
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
        with torch.device("cpu" if entry.real else "meta"):
            module = entry.build(classes=classes)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ModelError(f"arguments: {entry.name}: {error}") from error
    return {
        name: tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def unwrapped(entry: Family, given: dict[str, Tensor], key: str = "") -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Take the prefix off behind which most tensors have names that the family knows; these stay as they are.

    Where several prefixes have the whole network behind them, the averaged weights are taken; key chooses otherwise.
    What training frameworks write beside the network is left out and named; all else stays, and is refused later.
    Raises ModelError for a key that is no prefix, or where prefixes have several networks behind them.
    """
    if key:
        start = key.rstrip(".") + "."
        inside = {name.removeprefix(start): tensor for name, tensor in given.items() if name.startswith(start)}
        if not inside:
            prefixes = sorted({name.partition(".")[0] for name in given if "." in name})
            raise ModelError(f"weights-key: {key!r} is no key or prefix of the file; it has {some(prefixes)}")
        notes = [f"weights are those behind {start!r}, as was asked for"]
        rest = [name for name in given if not name.startswith(start)]
        notes += [f"not taken: {some(rest)}"] if rest else []
        state, more = unwrapped(entry, inside)
        return state, (*notes, *more)
    try:
        expected, head = _shapes(entry)
    except ModelError:
        return given, ()  # without a card's arguments it has no names of its own
    options = _options(entry, expected, given)
    best = max(option.hits for option in options)
    # Part of a network, or another family's, is no reason to ask which of several is meant.
    whole = best >= len(expected) - len(head) and best
    tied = [option for option in options if option.hits == best][: None if whole else 1]
    networks: dict[int, _Option] = {}
    for option in tied:  # the shortest prefix of each set of tensors
        networks.setdefault(
            id(option.state[next(name for name in expected if name in option.state)]) if best else 0, option
        )
    several = list(networks.values())
    averaged = [option for option in several if is_averaged(option.prefix)]
    plain = [option for option in several if not is_averaged(option.prefix)]
    if len(plain) > 1 and not averaged:
        named = ", ".join(option.prefix.rstrip(".") or "(none)" for option in plain)
        raise ModelError(f"weights: several networks, behind the prefixes {named}: --weights-key chooses")
    chosen = (averaged or plain)[0]
    notes = [f"prefix {chosen.prefix!r} taken off"] if chosen.prefix else []
    if len(several) > 1:
        others = ", ".join(repr(option.prefix) for option in several if option is not chosen)
        notes = [
            f"weights are those behind {chosen.prefix!r} (averaged over training), not behind {others}: --weights-key "
            "chooses"
        ]
    twice = [name for name in expected if chosen.prefix and name in given and chosen.prefix + name in given]
    if twice and not any(option.prefix == "" for option in several):
        raise ModelError(
            f"weights: {twice[0]} is there twice, with {chosen.prefix!r} before it and without, and the names without "
            "are not the whole network; keep one of the two"
        )
    unused = [option for option in several if option is not chosen]
    copies = {id(option.state[name]) for option in unused for name in expected if name in option.state}
    own: dict[str, Tensor] = {}
    left = list[str]()
    for name, tensor in chosen.plain.items():
        named = next(iter(entry.named({name: tensor})), name)
        layer, _, counter = named.rpartition("num_batches_tracked")
        if named in expected:
            own[name] = tensor
        elif counter == "" and layer:
            if f"{layer}running_mean" in expected:
                own[name] = tensor
        elif id(tensor) in copies or _BESIDE.match(name):
            left.append(name)
        else:
            own[name] = tensor
    if left:
        notes.append(f"left out, as no part of the network: {some(left)}")
    return own, tuple(notes)


@dataclass(frozen=True)
class _Option:
    """The tensors without a prefix: plain, as they are called then; state, as the family calls them. hits: how many of
    these it has."""

    prefix: str
    plain: dict[str, Tensor]
    state: dict[str, Tensor]
    hits: int


def _options(entry: Family, expected: Shapes, given: dict[str, Tensor]) -> list[_Option]:
    """The ways to read the names: without each prefix that many share, the shortest first."""
    found = list[_Option]()
    for names in ({name: name for name in given}, {name: _INNER.sub(r"\1", name) for name in given}):
        if len(set(names.values())) < len(names):
            continue
        shorter = {short: given[name] for name, short in names.items()}
        for prefix in _prefixes(expected, shorter):
            inside = {name.removeprefix(prefix): shorter[name] for name in shorter if name.startswith(prefix)}
            outside = {name: shorter[name] for name in shorter if not name.startswith(prefix)}
            plain = outside | inside
            state = entry.named(plain)
            found.append(_Option(prefix, plain, state, sum(name in state for name in expected)))
    return found


def _named(entry: Family, expected: Shapes, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefix behind which most of them have the family's names."""
    return max(_options(entry, expected, given), key=lambda option: option.hits).state


def _prefixes(expected: Shapes, given: dict[str, Tensor]) -> list[str]:
    """The prefixes that many names in the file share; the empty one first, then the shorter."""
    counts: dict[str, int] = {}
    for name in given:
        for index, letter in enumerate(name):
            if letter == ".":
                counts[name[: index + 1]] = counts.get(name[: index + 1], 0) + 1
    shared = {prefix for prefix, count in counts.items() if 2 * count >= len(expected)}
    first = next(iter(expected))
    shared |= {name.removesuffix(first) for name in given if name.endswith("." + first)}
    return ["", *sorted(shared, key=lambda prefix: (prefix.count("."), prefix))]


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
