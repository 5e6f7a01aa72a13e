"""The declaration of a model family."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from actionlens.card import Input, ModelCard
from handlers.errors import ModelError


@dataclass(frozen=True)
class Small:
    """A network of a family with all its parts, so small that every method can be tried on it in a moment.

    arguments: as on a card. frames, size: of its clips, size x size pixels.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 4
    size: int = 32


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file of weights: its tensors by the family's names and, where it knows, arguments and input.

    labels: of the classes in order; empty where it has no names for them. notes: what is to be said about it to people.
    says: of which family it says it is, as the end of a message, where that is another than the one asked for.
    """

    state: dict[str, Tensor]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input: Input | None = None
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    says: str = ""


def check_depth(arguments: Mapping[str, Any], tensors: Sized) -> None:
    """Raise ModelError where a network should have more layers than there are tensors: it would take ages to build."""
    for name, value in arguments.items():
        layers = len(value) if isinstance(value, list) else value if name.endswith("layers") else 0
        if isinstance(layers, int) and layers > len(tensors):
            raise ModelError(f"arguments: {name}: {layers}, but there are {len(tensors)} tensors")


@dataclass(frozen=True)
class Family:
    """One architecture with its arguments open.

    build: called as build(classes=K, **arguments of the card); the module maps float32 [B, 3, T, H, W] to
        logits [B, K].
    layer: the module whose activations Grad-CAM reads unless the card or the request names another; empty: the card
        must, or Grad-CAM cannot.
    most_frames: its networks take clips of 1 frame to this many; 0: of the card's length only.
    input: what its published checkpoints were trained with; None: there are none, so only a card can say.
    renamed: pairs (pattern, replacement) that turn the tensor names of another public layout into this one's.
    traceable: relevance knows every operation of all its networks, so one that it does not know is refused as a
        mistake. False: such a network is run as it is (`PlainNetwork`), without the methods that need relevance.
    read: reads files and directories of a kind of its own, None for any other, which `read_weights` or
        `read_pretrained` reads; raises ModelError.
    reported: reads the arguments off names and shapes of a file's tensors, where those are not always the same.
    described: reads arguments that no tensor tells off a network's name, as training scripts write it into checkpoints
        and call their files and folders; empty where it says nothing. Raises ModelError for networks of another kind.
    unused: pattern of whole tensor names that checkpoints have beside the classifier's; "": none.
    model_type: in the config.json of a Hugging Face transformers directory of this family, whose other fields are the
        arguments of `build`; "": there are no such directories.
    network: for files that hold the network itself: called with the weights file and the card instead of build;
        raises ModelError.
    real: it is built with values at once, as code that is trusted may need to run at all; else sizes are compared with
        those of the weights before memory is taken.
    small: what `handlers.support` tries the methods on.
    """

    name: str
    summary: str
    build: Callable[..., nn.Module]
    layer: str
    most_frames: int = 0
    input: Input | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    traceable: bool = True
    read: Callable[[Path], Checkpoint | None] | None = None
    reported: Callable[[dict[str, Tensor]], Checkpoint] | None = None
    described: Callable[[str], Mapping[str, Any]] | None = None
    unused: str = ""
    model_type: str = ""
    network: Callable[[Path, ModelCard], nn.Module] | None = None
    real: bool = False
    small: Small = field(default_factory=Small, hash=False)

    def with_arguments(self, arguments: Mapping[str, Any]) -> Family:
        """The family with some arguments closed."""
        return replace(self, build=partial(self.build, **arguments)) if arguments else self

    def named(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under this layout's names, without the unused; names of this layout stay as they are."""
        found: dict[str, Tensor] = {}
        for name, tensor in state.items():
            for pattern, replacement in self.renamed:
                name = re.sub(pattern, replacement, name)
            if not self.unused or not re.fullmatch(self.unused, name):
                found[name] = tensor
        return found
