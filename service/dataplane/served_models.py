"""The served models: finding one by name, and listing them in pages."""

from __future__ import annotations

import base64
import binascii

from actionlens.v1 import model_pb2, service_pb2
from service.backends.protocol import InferenceBackend
from service.errors import InvalidArgument, NotFound, Unavailable

_PAGE = 100
_LARGEST_PAGE = 1000


class ServedModels:
    """The models that the backend has loaded. default: the model of requests that name none."""

    def __init__(self, backend: InferenceBackend, default: str) -> None:
        self._backend = backend
        self._default = default

    def find(self, name: str, version: str, path: str = "") -> model_pb2.Model:
        """The model of a request; empty name: the default model (or the only one); empty version: the served one.

        path: what stands before "model" in the request, "open." for a stream. Raises NotFound listing what is
        served, and Unavailable while nothing is loaded.
        """
        models = self._backend.models()
        if not models:
            raise Unavailable("no model is loaded yet; wait until health says SERVING", retry_after=1.0)
        if not name:
            name = self._default if self._default in models or len(models) > 1 else next(iter(models))
        model = models.get(name)
        if model is None:
            served = ", ".join(f"{key} {entry.version}" for key, entry in sorted(models.items()))
            raise NotFound(
                f"{path}model: {name!r} is not served; served: {served}", field=f"{path}model", reason="UNKNOWN_MODEL"
            )
        if version and version != model.version:
            raise NotFound(
                f"{path}version: {name} {version!r} is not served; served: {model.version}",
                field=f"{path}version",
                reason="UNKNOWN_VERSION",
            )
        return model

    def get(self, request: service_pb2.GetModelRequest) -> service_pb2.GetModelResponse:
        """One model as clients see it. Raises as `find` does."""
        if not request.name:
            raise InvalidArgument("name: is empty; ListModels tells the names", field="name")
        return service_pb2.GetModelResponse(model=self._now(self._find_named(request.name, request.version)))

    def list(self, request: service_pb2.ListModelsRequest) -> service_pb2.ListModelsResponse:
        """A page of models, sorted by name. Raises InvalidArgument for a token that this service did not give."""
        models = self._backend.models()
        after = _read_token(request.page_token)
        names = [name for name in sorted(models) if name > after]
        size = min(request.page_size or _PAGE, _LARGEST_PAGE)
        response = service_pb2.ListModelsResponse(models=[self._now(models[name]) for name in names[:size]])
        if len(names) > size:
            response.next_page_token = base64.urlsafe_b64encode(names[size - 1].encode()).decode()
        return response

    def _find_named(self, name: str, version: str) -> model_pb2.Model:
        try:
            return self.find(name, version)
        except NotFound as error:
            field = "name" if error.field == "model" else error.field
            raise NotFound(error.message.replace("model:", "name:", 1), field=field, reason=error.reason) from None

    def _now(self, model: model_pb2.Model) -> model_pb2.Model:
        seen = model_pb2.Model()
        seen.CopyFrom(model)
        seen.ready = self._backend.healthy()
        return seen


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise InvalidArgument(
            "page_token: is not a token of this service; send next_page_token of the page before, or nothing",
            field="page_token",
            reason="BAD_PAGE_TOKEN",
        ) from None
