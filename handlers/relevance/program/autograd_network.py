"""A network that tracing refuses, run as the module that it is: prediction and gradients, no relevance."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from handlers.interruption import check
from handlers.relevance.errors import BadClip, NoFrameLogits, NotKept, UnknownLayer
from handlers.relevance.program.clip_checks import check_clip, check_logits, refuse_misfit
from handlers.relevance.rules import Rules

_NO_FRAME_LOGITS = "the network is run as it is, so what its logits are the mean of is not known"


class PlainPass:
    """One forward of a batch of clips; see `Pass`. It holds autograd's graph, as far down as gradients were asked for.

    kept: activations by layer.
    """

    def __init__(self, clip: Tensor, source: Tensor, logits: Tensor, kept: dict[str, Tensor]) -> None:
        self.clip = clip
        self.logits = logits.detach()
        self._logits = logits
        self._kept = kept | {"": source}

    def __len__(self) -> int:
        return int(self.clip.shape[0])

    @property
    def frame_logits(self) -> Tensor:
        """Raises NoFrameLogits."""
        raise NoFrameLogits(f"model: no logits per frame: {self.no_frame_logits}")

    @property
    def no_frame_logits(self) -> str:
        """The reason."""
        return _NO_FRAME_LOGITS

    def no_frame_logits_of(self, item: int) -> str:
        """The reason, for every clip."""
        return self.no_frame_logits

    def activation(self, layer: str) -> Tensor:
        """[B, ...] output of a kept layer; of its last call, if it is called more than once. Raises NotKept."""
        return self._source(layer).detach()

    def gradient(self, layer: str, cotangent: Tensor) -> Tensor:
        """Gradient of sum(cotangent * logits) with respect to the activation of a kept layer, by autograd.

        cotangent: [B, K]. "" is the clip. Raises NotKept, BadClip.
        """
        if cotangent.shape != self.logits.shape:
            raise BadClip(f"cotangent: expected {list(self.logits.shape)}, got {list(cotangent.shape)}")
        source = self._source(layer)
        if not source.requires_grad:
            raise NotKept("forward: ran with relevance=False; run it again with relevance=True")
        if not self._logits.requires_grad:
            return torch.zeros_like(source)
        check()
        with torch.inference_mode(False), torch.enable_grad():
            weights = cotangent.to(self._logits.dtype, copy=True)
            (slope,) = torch.autograd.grad(self._logits, source, weights, retain_graph=True, allow_unused=True)
        return torch.zeros_like(source) if slope is None else slope

    def _source(self, layer: str) -> Tensor:
        if layer not in self._kept:
            raise NotKept(f"layer: {layer!r} was not kept; name it in forward(keep=...)")
        return self._kept[layer]


class PlainNetwork:
    """A module with operations that have no relevance rule, as a `Network`. Used by many threads at once.

    module: in evaluation mode; it is not changed, its weights are shared. reason: what tracing refused. example: a clip
    [1, C, T, H, W] that the module takes, run once to see which layers there are: modules that put out one tensor.
    A layer that explanations over time and space read must put out [B, C, T', H', W'].
    Raises BadClip where the module does not take the example.
    """

    no_gradient = ""

    def __init__(self, module: nn.Module, rules: Rules, reason: str, example: Tensor) -> None:
        self.rules = rules
        self.no_relevance = reason
        self._module = _over_the_same_weights(module)
        self._current = _CurrentRun()
        # The hooks stay: what they do is up to the thread that runs. So threads need no lock, and none sees another.
        for name, part in self._module.named_modules():
            if name:
                part.register_forward_hook(partial(self._current.put_out, name))
        with torch.no_grad():
            self._run(example, frozenset())
        self.layers = tuple(self._current.seen)

    @property
    def no_frame_logits(self) -> str:
        """The reason."""
        return _NO_FRAME_LOGITS

    def forward(self, clip: Tensor, keep: Iterable[str] = (), relevance: bool = True) -> PlainPass:
        """See `Network`."""
        check_clip(clip)
        wanted = frozenset(keep)
        for layer in wanted.difference(self.layers):
            raise UnknownLayer(f"layer: {layer!r} is not in this model, or puts out no tensor")
        if not relevance and not wanted:
            with torch.no_grad():
                return PlainPass(clip, clip, *self._run(clip, wanted))
        # Answers are made in inference mode, in which autograd records nothing.
        with torch.inference_mode(False), torch.enable_grad():
            source = clip.detach().clone(memory_format=torch.contiguous_format).requires_grad_(relevance)
            return PlainPass(clip, source, *self._run(source, wanted))

    def frame_centres(self, layer: str, frames: int, steps: int) -> tuple[float, ...]:
        """The middles of `steps` equal parts of the clip: what a step really sees is not traced."""
        return tuple((step + 0.5) * frames / steps - 0.5 for step in range(steps))

    def _run(self, clip: Tensor, wanted: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits, and the wanted activations by layer."""
        check()
        self._current.begin(wanted)
        try:
            found = self._module(clip.contiguous())
        except (RuntimeError, IndexError, ValueError, AssertionError) as error:
            refuse_misfit(clip, type(self._module).__name__, error)
        return check_logits(found, clip), self._current.handed_over()


class _CurrentRun(threading.local):
    """A thread's current run: the layers to keep, their activations, and the layers seen to put out a tensor."""

    wanted: frozenset[str] = frozenset()

    def begin(self, wanted: frozenset[str]) -> None:
        self.wanted = wanted
        self.kept: dict[str, Tensor] = {}
        self.seen: dict[str, None] = {}

    def handed_over(self) -> dict[str, Tensor]:
        """Give away the kept activations; this thread holds on to none of it."""
        kept, self.kept = self.kept, {}
        return kept

    def put_out(self, name: str, module: nn.Module, inputs: object, output: object) -> Tensor | None:
        """The hook of every layer: a kept activation becomes what gradients are taken of."""
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return None
        self.seen.setdefault(name)
        if name not in self.wanted:
            return None
        self.kept[name] = output if output.requires_grad else output.requires_grad_()
        # Whoever reads it may write into its memory.
        return output.clone()


def _over_the_same_weights(module: nn.Module) -> nn.Module:
    """The module, for hooks to be hung on, over the same memory; gradients of weights are not computed."""
    weights: dict[int, object] = {
        id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in module.parameters()
    }
    return copy.deepcopy(module, weights | {id(buffer): buffer for buffer in module.buffers()})
