"""The onnx backend: what `actionlens models export` wrote, run by onnxruntime in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

from service.backends.onnx.graph import Graph
from service.backends.onnx.graph_answer import answer
from service.backends.thread_backend import Answer, ThreadBackend
from service.errors import NotFound, Unavailable


class OnnxBackend(ThreadBackend):
    """The graphs in the model store's folder itself (`STORE/*.onnx`). Those exported for any number of clips answer a
    batch in one run, the others clip by clip."""

    def load(self) -> Iterator[tuple[str, Answer, int]]:
        """See ThreadBackend. Raises Unavailable also for two graphs of one name."""
        settings = self.settings
        threads = settings.threads or len(os.sched_getaffinity(0))
        graphs: dict[str, Graph] = {}
        for path in sorted(settings.model_store.glob("*.onnx")):
            graph = Graph(path, threads)
            if graph.name in graphs:
                raise Unavailable(
                    f"{path}: {graph.name!r} is also in {graphs[graph.name].path.name}; keep one", reason="MODEL_UNFIT"
                )
            graphs[graph.name] = graph
        if not graphs:
            raise Unavailable(
                f"model store {settings.model_store} holds no exported graph; write one with "
                "`actionlens models export NAME --with METHOD,... -o STORE/NAME.onnx`",
                reason="MODEL_STORE_EMPTY",
            )
        if missing := sorted(set(settings.models) - set(graphs)):
            raise NotFound(
                f"models: no graph of {', '.join(missing)} in {settings.model_store}; there are: {', '.join(graphs)}",
                field="models",
            )
        for name, graph in graphs.items():
            if not settings.models or name in settings.models:
                yield name, partial(answer, graph), settings.batch_size if graph.takes_several else 1
