"""Base classes of explanation methods; a live one has one verb, `attribute`, on a forward that has been run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Target
from handlers.models.action_model import ActionModel
from handlers.relevance import Pass


class Parameters(BaseModel):
    """Parameters of a method. Field names are those of its protobuf message. Every number has a lower and an upper
    bound, by what it means or by `Method.largest`: GetModel tells them, and the service checks them at its door."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


P = TypeVar("P", bound=Parameters)


class Method(ABC, Generic[P]):
    """One method. Stateless: one instance serves every model and thread."""

    name: ClassVar[str]
    """As on the command line: "grad-cam"."""
    summary: ClassVar[str]
    parameters: type[P]
    by_gradient: ClassVar[bool] = False
    """Whether it needs gradients of the logits."""
    by_probability: ClassVar[bool] = False
    """Whether it needs probabilities of the classes that sum to 1."""

    def unsupported(self, model: ActionModel) -> str | None:
        """Why this method cannot explain the model, or None when it can."""
        if self.by_probability and model.no_softmax:
            return f"it needs probabilities that sum to 1: {model.no_softmax}"
        return model.program.no_gradient or None if self.by_gradient else None

    def largest(self, model: ActionModel) -> Mapping[str, int]:
        """The largest values of parameters that the size of the model's clips bounds, by name."""
        return {}

    def fitted(self, model: ActionModel, parameters: P) -> P:
        """The parameters with what this model decides filled in. Raises RequestError for what cannot be on it."""
        return parameters


class Explainer(Method[P]):
    """A method that answers live, from the forward that also gives the prediction."""

    goes_first: ClassVar[bool] = False
    """Computed before the others, which then use what it leaves in the forward pass."""

    def unsupported(self, model: ActionModel) -> str | None:
        if self.propagates(self.parameters()) and (reason := model.program.no_relevance):
            return reason
        return super().unsupported(model)

    def layers(self, model: ActionModel, parameters: P) -> tuple[str, ...]:
        """Layers whose activations the forward must keep for this method."""
        return ()

    def propagates(self, parameters: P) -> bool:
        """Whether the forward must keep all that relevance propagation needs."""
        return False

    @abstractmethod
    def attribute(
        self, model: ActionModel, forward: Pass, items: Sequence[tuple[int, Target]], parameters: P
    ) -> list[Attribution | RequestError]:
        """Explain items of the batch: (position in the batch, target) each; answers in the same order.

        An item that cannot be explained is a RequestError in its position. What is raised instead should hold for
        every item: for the parameters, or the clips' shape.
        """
