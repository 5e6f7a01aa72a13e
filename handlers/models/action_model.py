"""A loaded model: its card, its traced network, and how clips enter it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from actionlens.card import CardError, ColorOrder, ModelCard, SamplingRule, Scores, read_card
from handlers.errors import ModelError, RequestError
from handlers.models.blocks.tokens import token_network
from handlers.models.blocks.window_average import WindowAverage
from handlers.models.family import Family, check_depth
from handlers.models.family_registry import family
from handlers.models.optical_flow import flow
from handlers.models.own_code import load_code, own_family
from handlers.models.score_ending import as_logits, before_softmax
from handlers.relevance import (
    MEMORY,
    BadClip,
    Network,
    Opaque,
    OpaqueNetwork,
    PlainNetwork,
    Precision,
    RelevanceError,
    Rules,
    bounds_of_pixels,
    trace,
)
from handlers.scores import probe_clips, recognised, unclear

_BOUNDS_OF_FLOW = (-1.0, -1.0), (1.0, 1.0)


class ActionModel:
    """A model ready to answer. Read-only after loading, so threads may share it."""

    def __init__(
        self, card: ModelCard, module: nn.Module, memory: int = MEMORY, precision: str = Precision.FLOAT32
    ) -> None:
        self.card = card
        self.notes = tuple(filter(None, (_sampling_note(card),)))
        """What people should know of what its card leaves open."""
        self.memory = memory
        """Most bytes that temporal relevance allocates beyond the forward pass."""
        entry = family_of(card)
        windows = card.input.windows
        self.layer = (card.layer or entry.layer) if windows == 1 else ""
        """Layer that Grad-CAM reads; empty where no layer keeps channels over time and space."""
        self.most_frames = max(entry.most_frames, card.input.frames) if entry.most_frames and windows == 1 else 0
        self.takes_flow = card.input.color is ColorOrder.FLOW
        """Whether the network is shown the optical flow between frames in place of their pixels."""
        low, high = _BOUNDS_OF_FLOW if self.takes_flow else bounds_of_pixels(card.input.mean, card.input.std)
        rules = Rules(low=low, high=high)
        settled = _settled(card.of_network, module, rules, precision)
        if windows > 1:
            settled = _averaged(card, settled, rules, precision)
        self.program = settled.program
        self.module = settled.module
        """The module that the program was traced from, over the same weights; for methods that need it. Read-only."""
        self.scores = settled.scores
        """What the network puts out as it was given; `program` and `module` put out logits."""
        self.tokens = token_network(self.module)
        """The module where its activations are tokens, else None."""
        if self.layer and self.layer not in self.program.layers:
            raise ModelError(f"layer: {self.layer!r} is not a layer of {card.architecture}")
        # One multiply-add: (pixel / 255 - mean) / std = pixel * scale - shift.
        std, mean = torch.tensor(card.input.std), torch.tensor(card.input.mean)
        self._scale, self._shift = 1 / (255 * std), mean / std

    @classmethod
    def load(
        cls, folder: Path, memory: int = MEMORY, precision: str = Precision.FLOAT32, *, trust_code: bool = False
    ) -> ActionModel:
        """Load the model in a folder that holds card.yaml and its weights.

        What the card does not say of its scores is read off the network's answers to a few clips. memory: most bytes
        that temporal relevance allocates beyond the forward pass. precision: of relevance. trust_code: import and run
        the code of a network that brings its own, which may then do all that this process may.
        Raises ModelError for an invalid card, weights or code whose digest differs, tensors that do not fit, or code
        that is not trusted.
        """
        try:
            card = read_card(folder)
        except CardError as error:
            raise ModelError(str(error)) from error
        path = folder / card.weights.file
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(f"{path}: {error}") from error
        if digest != card.weights.sha256:
            raise ModelError(f"{path}: weights.sha256 is {digest}, the card says {card.weights.sha256}")
        load_code(card, folder, trust_code)
        module = _module(card.of_network, path)
        if card.code is not None:
            check_logits(module, card.of_network)
        model = cls(card, module, memory, precision)
        if card.scores is not None:
            return model
        found, said = model.recognised_scores()
        if found is not model.scores:
            model = cls(card.model_copy(update={"scores": found}), module, memory, precision)
        model.notes += (said,) if said else ()
        return model

    @torch.no_grad()
    def recognised_scores(self) -> tuple[Scores, str]:
        """What the network puts out, by its graph or its numbers on a few clips, and what to say about it."""
        if self.scores is not Scores.LOGITS:
            return self.scores, f"what makes {self.scores} of its logits is left out: explanations start at the logits"
        rows: list[Tensor] = []
        for clip in _probes(self.card, self.program.rules):
            try:
                rows.append(self.program.forward(clip[None], {}, relevance=False).logits.float())
            except BadClip:
                return self.scores, ""  # the first clip will be refused for its size, with the reason
            found, _ = recognised(torch.cat(rows))
            said = unclear(torch.cat(rows))
            if found is Scores.LOGITS and not said:
                break  # the others would not change that
        match found:
            case Scores.PROBABILITIES:
                said = (
                    "its scores are probabilities by their numbers (no negative ones, every clip's sum to 1): "
                    "predictions are shown as they are, explanations are of their logarithm; if they are logits, write "
                    "scores: logits in the card"
                )
            case Scores.LOG_PROBABILITIES:
                said = "it puts out log-probabilities, and explanations are of them"
        return found, said

    def prepare(self, clips: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Clips as the network takes them.

        clips: uint8 RGB [T, H, W, 3] of one T. Returns float32 [B, 3, T, H, W], of optical flow [B, 2, T, H, W],
        channels last in memory.
        """
        if self.takes_flow:
            return torch.from_numpy(np.stack([flow(clip) for clip in clips])).permute(0, 4, 1, 2, 3)
        return self.normalised(torch.stack([torch.from_numpy(clip) for clip in clips]))

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 RGB [B, T, H, W, 3] to float32 [B, 3, T, H, W] as a network of pixels takes it."""
        if self.card.input.color is ColorOrder.BGR:
            pixels = pixels.flip(-1)
        return pixels.to(torch.float32).mul_(self._scale).sub_(self._shift).permute(0, 4, 1, 2, 3)

    @property
    def no_softmax(self) -> str:
        """Why the classes have no probabilities that sum to 1; empty where they have."""
        return "its classes are scored one by one, by a sigmoid" if self.scores is Scores.SIGMOID else ""

    def probabilities(self, logits: Tensor) -> Tensor:
        """The network's own prediction, [..., K], of its logits: their softmax, or of every class its sigmoid."""
        return logits.sigmoid() if self.scores is Scores.SIGMOID else logits.softmax(-1)

    @property
    def black(self) -> Tensor:
        """float32 [C] as the network takes it: a black pixel; of optical flow, one that does not move."""
        return torch.zeros(2) if self.takes_flow else -self._shift

    @property
    def no_mixing(self) -> str:
        """Why a mixture of prepared frames is not the preparation of mixed frames; empty where it is."""
        return "the optical flow of mixed frames is no mixture of theirs" if self.takes_flow else ""

    def check_clip(self, clip: NDArray[np.uint8]) -> None:
        """Raise RequestError when a clip is not uint8 [T, H, W, 3] of the card's size, T of any length that fits."""
        size = self.card.input
        lengths = range(1, self.most_frames + 1) if self.most_frames else (size.frames,)
        if clip.dtype != np.uint8 or clip.shape[1:] != (size.height, size.width, 3) or len(clip) not in lengths:
            wanted = f"{f'1 to {self.most_frames}' if self.most_frames else size.frames}, {size.height}, {size.width}"
            raise RequestError(
                f"clip: {clip.dtype} {list(clip.shape)}; the model takes uint8 [{wanted}, 3]",
                field="clip",
                reason="WRONG_CLIP_SHAPE",
            )

    def check_layer(self, layer: str) -> None:
        """Raise RequestError (field "layer") when the network has no such layer."""
        if layer not in self.program.layers:
            some = ", ".join(self.program.layers[-8:])
            raise RequestError(
                f"layer {layer!r} does not exist; the last layers are {some}", field="layer", reason="UNKNOWN_LAYER"
            )

    def on_grid(self, layer: str, values: Tensor) -> Tensor:
        """Arrange a layer's output as a map over time and space [B, C, T', H', W'].

        values: as the layer has them, such a map or the tokens [B, N, C] of patches. Raises RequestError (field
        "layer") when they are neither.
        """
        if values.dim() == 5:
            return values
        if self.tokens is not None and values.dim() == 3 and values.shape[1] == self.tokens.count:
            return self.tokens.on_grid(values)
        raise RequestError(
            f"layer: {layer!r} puts out {list(values.shape[1:])}, no map over time and space; {self.layer!r} does",
            field="layer",
            reason="LAYER_WITHOUT_MAP",
        )

    def frame_positions(self, layer: str, frames: int, steps: int) -> tuple[float, ...]:
        """The model frame at the centre of each of a layer's time steps, for a clip of so many frames.

        A token has seen the whole clip after the first attention; it counts as its own patch's all the same.
        """
        if self.tokens is not None:
            return tuple((step + 0.5) * frames / steps - 0.5 for step in range(steps))
        return self.program.frame_centres(layer, frames, steps)


def family_of(card: ModelCard) -> Family:
    """The card's family; of a network that brings its own code, one made of that. Raises ModelError."""
    return family(card.architecture) if card.code is None else own_family(card)


@torch.no_grad()
def check_logits(module: nn.Module, card: ModelCard) -> None:
    """Raise ModelError where a module of anybody's does not map the card's clip to one number per label."""
    size = card.input
    channels = 2 if size.color is ColorOrder.FLOW else 3
    try:
        found = module(torch.zeros(1, channels, size.frames, size.height, size.width))
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"architecture: {card.architecture} is given float32 [1, {channels}, {size.frames}, {size.height}, "
            f"{size.width}], batch, channels, time, height and width, and fails: {type(error).__name__}: {said}"
        ) from error
    if not isinstance(found, Tensor):
        raise ModelError(
            f"architecture: {card.architecture} puts out a {type(found).__name__}, not a tensor of logits [B, K]"
        )
    if tuple(found.shape) != (1, len(card.labels)):
        raise ModelError(
            f"architecture: {card.architecture} puts out {list(found.shape)} for one clip, and [1, {len(card.labels)}] "
            f"are {len(card.labels)} labels' logits"
        )


def _module(card: ModelCard, path: Path) -> nn.Module:
    """The card's network with the weights in that file; where the family says so, the file is the network."""
    entry = family_of(card)
    if entry.network is not None:
        return entry.network(path, card)
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: {error}") from error
    return build(card, state)


@dataclass(frozen=True)
class _Settled:
    """A network as it is run. module: what it was made of. scores: what the network as it was given puts out."""

    program: Network
    module: nn.Module
    scores: Scores


def _settled(card: ModelCard, module: nn.Module, rules: Rules, precision: str) -> _Settled:
    """The module as a program that puts out logits.

    It is run as it is where tracing refuses it and its family allows that, or no softmax could be taken off it.
    """
    given = card.scores or getattr(module, "scores", None)
    scores = given if isinstance(given, Scores) else Scores.LOGITS
    if isinstance(module, Opaque):
        return _Settled(OpaqueNetwork(module, rules), module, scores)
    entry = family_of(card)
    plain, rebuilt = not entry.traceable, entry.network is None
    if rebuilt and scores is not Scores.LOGITS:
        clips = _probes(card, rules)
        found = before_softmax(module, clips)
        module, plain = (as_logits(module, scores, clips), True) if found is None else (found.module, plain)
    try:
        program = trace(module, rules, precision)
    except RelevanceError as error:
        refused = error
    else:
        _check_channels(card, program.channels, len(rules.low or ()))
        return _Settled(program, module, scores)
    if rebuilt and card.scores is None and (found := before_softmax(module, _probes(card, rules))) is not None:
        return _settled(card.model_copy(update={"scores": found.scores}), module, rules, precision)
    if not plain:
        raise ModelError(f"architecture: {card.architecture}: {refused}") from refused
    try:
        return _Settled(PlainNetwork(module, rules, str(refused), _probes(card, rules)[:1] * 0), module, scores)
    except BadClip as error:
        raise ModelError(f"input: {card.architecture}: {error}") from error


def _averaged(card: ModelCard, network: _Settled, rules: Rules, precision: str) -> _Settled:
    """The mean of the network's logits over the windows of a clip; one operation to its program."""
    if isinstance(network.program, OpaqueNetwork):
        raise ModelError(f"input.windows: of networks that torch runs; {network.program.no_relevance}")
    module = WindowAverage(network.module, card.of_network.input.frames).eval()
    program = trace(nn.Sequential(OrderedDict(windows=module)).eval(), rules, precision)
    return _Settled(program, module, network.scores)


def _probes(card: ModelCard, rules: Rules) -> Tensor:
    size = card.input
    return probe_clips(len(rules.low or ()), size.frames, size.height, size.width)


def _sampling_note(card: ModelCard) -> str:
    """What to say of a card that takes frames in the way that was the only one before cards said which."""
    published, size = family_of(card).input, card.input
    if published is None or size.sampling is not SamplingRule.UNIFORM or published.sampling is SamplingRule.UNIFORM:
        return ""
    rule = f"sampling: {published.sampling}"
    if published.sampling is SamplingRule.RATE:
        rule += f", fps: {published.fps:g}"
    elif published.sampling.is_stretch:
        rule += f", stride: {published.stride}"
    return (
        f"it is shown frames spread over the whole file (sampling: uniform); published checkpoints of "
        f"{card.architecture} were evaluated with {rule}: if it is one of them, write that into its card's input"
    )


def _check_channels(card: ModelCard, taken: int | None, given: int) -> None:
    """Raise ModelError where the network takes clips of other channels than the card's colour has."""
    if taken is not None and taken != given:
        fix = "; of optical flow, write color: flow" if taken == 2 else ""
        raise ModelError(
            f"input.color: {card.input.color} has {given} channels, this {card.architecture} takes {taken}{fix}"
        )


def build(card: ModelCard, state: dict[str, Tensor]) -> nn.Module:
    """The card's network with these weights, in evaluation mode.

    Raises ModelError naming the first tensor that is missing, left over or of another shape, or the argument that the
    family does not take.
    """
    check_depth(card.arguments, state)
    # Compared before memory is taken: sizes that somebody wrote into a card may be any.
    with torch.device("cpu" if family_of(card).real else "meta"):
        expected = _built(card).state_dict()
    for name, tensor in expected.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=tensor.dtype))
        elif name not in state:
            raise ModelError(f"weights: {name} {list(tensor.shape)} is missing; the file has {_some(state)}")
        elif state[name].is_floating_point() != tensor.is_floating_point():
            raise ModelError(
                f"weights: {name} is {state[name].dtype}, {card.architecture} takes {tensor.dtype}; quantised weights "
                "are not read"
            )
        elif state[name].shape != tensor.shape:
            raise ModelError(
                f"weights: {name} is {list(state[name].shape)}, {card.architecture} with {len(card.labels)} labels "
                f"takes {list(tensor.shape)}"
            )
    for name, tensor in state.items():
        if name not in expected:
            raise ModelError(f"weights: {name} {list(tensor.shape)} has no place in {card.architecture}")
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"weights: {name} has values that are not finite")
    module = _built(card)
    module.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    return module.eval()


def _built(card: ModelCard) -> nn.Module:
    try:
        return family_of(card).build(classes=len(card.labels), **card.arguments)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise ModelError(f"arguments: {card.architecture}: {error}") from error


def _some(state: dict[str, Tensor]) -> str:
    names = list(state)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
