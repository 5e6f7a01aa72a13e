"""DeepLIFT (Shrikumar et al.), by Captum, for networks made of modules."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from handlers.explainers.attribution import Attribution
from handlers.explainers.common.additive_terms import AdditiveExplainer
from handlers.explainers.common.baseline import BaselineParameters, baseline, pixel_volume
from handlers.explainers.iteration import Question, State
from handlers.models.action_model import ActionModel
from handlers.relevance import Program

_RULES = (nn.ReLU, nn.MaxPool2d, nn.MaxPool3d)
"""Modules that Captum has a rule for, of those that a program may hold."""
_LINEAR = frozenset(
    (
        "adaptive average pool",
        "add",
        "average pool",
        "batch norm",
        "concatenate",
        "convolution",
        "factor",
        "identity",
        "linear",
        "mean",
        "pad",
        "permute",
        "reshape",
        "scale",
        "shift",
        "size",
        "slice",
    )
)
"""Kinds of operations that need no rule: their gradient is the same for every clip."""


class DeepLiftParameters(BaselineParameters):
    """DeepLIFT has no more."""


class DeepLift(AdditiveExplainer[DeepLiftParameters]):
    """Differences of activations between the clip and the baseline, carried to the pixels and summed over colours.

    All of it is Captum's. Captum puts its rules on modules, and silently takes plain gradients where a network calls
    functions instead, or one module twice: such networks are refused.
    """

    name = "deep-lift"
    summary = "differences from a baseline carried back through the network, by Captum"
    parameters = DeepLiftParameters

    def unsupported(self, model: ActionModel) -> str | None:
        if not isinstance(model.program, Program):
            return f"its operations are not known one by one: {model.program.no_relevance}"
        modules = dict(model.module.named_modules())
        seen: set[nn.Module] = set()
        for step in model.program.graph.steps:
            if step.operation.kind in _LINEAR:
                continue
            module = modules.get(step.step_name)
            if not isinstance(module, _RULES):
                names = ", ".join(rule.__name__ for rule in _RULES)
                return (
                    f"{step.step_name}: {step.operation.kind} is not one of the modules that DeepLIFT knows ({names})"
                )
            if module in seen:
                return f"{step.step_name}: is called more than once; DeepLIFT needs one module per call"
            seen.add(module)
        return None

    def count(self, question: Question[DeepLiftParameters]) -> int:
        return 1

    def zero(self, question: Question[DeepLiftParameters]) -> Tensor:
        return torch.zeros(question.clip.shape[:3])

    def terms(self, question: Question[DeepLiftParameters]) -> Callable[[int], Tensor]:
        from captum.attr import DeepLift as Captum  # late, for the reason given in integrated_gradients.py

        clip, nothing, target = question.model.prepare([question.clip]), baseline(question), question.target
        clip.requires_grad_(), nothing.requires_grad_()  # as Captum would, with a warning
        captum = Captum(_own(question.model.module))

        def term(_: int) -> Tensor:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Setting forward, backward hooks")  # on a copy; see _own
                found: Tensor = captum.attribute(clip, nothing, target=target.index)
                if target.contrast is not None:
                    found = found - captum.attribute(clip, nothing, target=target.contrast)
            return found[0].detach().sum(0)

        return term

    def result(self, question: Question[DeepLiftParameters], state: State) -> Attribution:
        return pixel_volume(question, state.arrays["sum"], state.done)


def _own(module: nn.Module) -> nn.Module:
    """The network over the same weights, for Captum to hang hooks on; nothing is done in place, which hooks mislike."""
    weights = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    made = copy.deepcopy(module, weights)
    for part in made.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    return made


EXPLAINER = DeepLift()
