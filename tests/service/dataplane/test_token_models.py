"""A transformer through the service: methods that others have too, and the one that it alone has."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from actionlens.tensors import to_array
from actionlens.v1 import clip_pb2, method_pb2
from service.backends.in_process import InProcessBackend
from service.server import Server
from service.settings import BackendName, Settings
from tests.handlers import networks
from tests.service.conftest import connect
from tests.service.requests import GRAD_CAM, clip_request

ARGUMENTS = {
    "image_size": 16,
    "patch_size": 8,
    "num_frames": 4,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


async def test_a_transformer_is_served_with_its_explanations(tmp_path: Path) -> None:
    networks.folder(
        tmp_path / "tokens",
        name="tokens",
        architecture="timesformer",
        arguments=ARGUMENTS,
        input={"frames": 4, "height": 16, "width": 16},
        layer="",
    )
    settings = Settings(
        port=0,
        metrics_port=0,
        page_port=0,
        model_store=tmp_path,
        models=("tokens",),
        backend=BackendName.IN_PROCESS,
        threads=1,
    )
    pixels = networks.clip(1, 4, 16, 16)
    clip = clip_pb2.Clip(raw=clip_pb2.RawFrames(data=pixels.tobytes(), count=4, height=16, width=16))
    methods = (
        method_pb2.Method(attention_rollout=method_pb2.AttentionRollout()),
        GRAD_CAM,
        method_pb2.Method(dtd=method_pb2.Dtd(rule="gamma", gamma=0.0)),
    )
    atr = method_pb2.Method(atr=method_pb2.Atr())
    async with Server(settings, InProcessBackend(settings)) as server, connect(server) as stub:
        reply = await stub.ExplainClip(clip_request(*methods, clip=clip, model="tokens"))
        with pytest.raises(grpc.RpcError, match="methods that can: attention-rollout, clrp, dtd, grad-cam, selective"):
            await stub.ExplainClip(clip_request(atr, clip=clip, model="tokens"))
    rollout, cam, dtd = reply.answer.explanations
    shares = to_array(rollout.saliency.values)
    assert shares.shape == to_array(cam.saliency.values).shape == (4, 2, 2)
    assert float(shares.sum()) == pytest.approx(rollout.measures["share_of_patches"], rel=1e-2)
    assert "not for which class" in rollout.notes[0]
    assert list(rollout.saliency.frame_positions) == [0, 1, 2, 3]
    assert to_array(dtd.saliency.values).shape == (4, 16, 16)
    assert np.abs(to_array(dtd.saliency.values)).max() > 0
