"""Makes the seeds, small files of every kind that the readers take: python -m tests.hostile.make_seeds"""

from __future__ import annotations

import io
import json
import pickle
import shutil
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import cv2
import h5py
import numpy as np
import onnx
import simplejpeg
import torch
import yaml
from numpy.typing import NDArray
from onnx import helper
from PIL import Image
from safetensors.torch import save

from actionlens.card import write_card
from actionlens.v1 import answer_pb2, clip_pb2, job_pb2, method_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from tests.handlers import networks, onnx_files
from tests.hostile.targets import SEEDS
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, clip_request, png


def main() -> None:
    """Write every seed anew."""
    for name, make in _MAKERS.items():
        folder = SEEDS / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, data in make().items():
            (folder / file).write_bytes(data)
            print(f"{name}/{file}: {len(data)} bytes")


def _pixels(height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    return np.stack((rows * 20, columns * 15, (rows + columns) * 8), -1).astype(np.uint8)


def _pictures() -> dict[str, bytes]:
    pixels = _pixels()
    made: dict[str, bytes] = {"rgb.jpg": simplejpeg.encode_jpeg(pixels, 80)}

    def save_as(name: str, image: Image.Image, kind: str, **options: Any) -> None:
        out = io.BytesIO()
        image.save(out, kind, **options)
        made[name] = out.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(pixels)
    save_as("turned.jpg", image, "JPEG", exif=exif)
    save_as("progressive.jpg", image, "JPEG", progressive=True)
    save_as("grey.jpg", image.convert("L"), "JPEG")
    save_as("cmyk.jpg", image.convert("CMYK"), "JPEG")
    save_as("rgb.png", image, "PNG", exif=exif)
    save_as("palette.png", image.quantize(16), "PNG", transparency=3)
    save_as("bits.png", image.convert("1"), "PNG")
    made["alpha.png"] = cv2.imencode(".png", np.dstack((pixels, pixels[..., 0])))[1].tobytes()
    made["deep.png"] = cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1].tobytes()
    plain = made["rgb.png"]
    chunk = b"cICP" + bytes((9, 16, 0, 1))
    import zlib

    made["wide.png"] = plain[:33] + (4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + plain[33:]
    return made


def _film(container: str, codec: str, pixel: str, options: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options or {}) as film:
        stream: Any = film.add_stream(codec, rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 32, 32, pixel
        stream.codec_context.thread_count = 1
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(np.roll(_pixels(32, 32), 3 * number, 1), "rgb24")
            film.mux(stream.encode(frame.reformat(format=pixel)))
        film.mux(stream.encode())
    return out.getvalue()


def _films() -> dict[str, bytes]:
    return {
        "mpeg4.mp4": _film("mp4", "mpeg4", "yuv420p"),
        "pieces.mp4": _film("mp4", "mpeg4", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
        "h264.mp4": _film("mp4", "libx264", "yuv420p"),
        "vp9.webm": _film("webm", "libvpx-vp9", "yuv420p"),
        "mjpeg.avi": _film("avi", "mjpeg", "yuvj420p"),
        "mpeg2.ts": _film("mpegts", "mpeg2video", "yuv420p"),
        "h264.mkv": _film("matroska", "libx264", "yuv420p"),
        "film.gif": _film("gif", "gif", "rgb8"),
        "flv1.flv": _film("flv", "flv1", "yuv420p"),
    }


def _calls() -> list[tuple[str, str]]:
    """The RPCs in the order in which a client's message is told apart by its first byte."""
    return [
        (method.name, method.input_type.name)
        for module in (service_pb2, job_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]


def _client_messages() -> dict[str, bytes]:
    names = [name for name, _ in _calls()]
    target = method_pb2.Target(
        explained=method_pb2.ClassSelector(label="green"), contrast=method_pb2.ClassSelector(index=0)
    )
    clip = clip_request(GRAD_CAM, DTD, SELECTIVE, target=target)
    frames = clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=[png(9), png(20)], fps=5))
    sampled = service_pb2.ExplainClipRequest(
        clip=frames, methods=[GRAD_CAM], sampling=clip_pb2.Sampling(indices=clip_pb2.IndexSampling(values=[0, 1, 1, 0]))
    )
    opened = service_pb2.ExplainStreamRequest(
        open=service_pb2.StreamOpen(
            methods=[GRAD_CAM],
            window=service_pb2.Window(stride=1, hop=2),
            budget=service_pb2.Budget(latency_seconds=0.1),
            output=answer_pb2.OutputOptions(insertion_deletion_gap=True),
        )
    )
    job = job_pb2.CreateJobRequest(
        clips=[job_pb2.JobClip(name="a", clip=frames), job_pb2.JobClip(clip=clip.clip)],
        method=method_pb2.Method(evaluate=method_pb2.Evaluate(methods=[GRAD_CAM])),
        target=target,
    )
    pages = job_pb2.ListJobsRequest(page_size=3, method="grad-cam", states=[1, 2])
    messages = {
        "ExplainClip": (clip, sampled),
        "ExplainStream": (opened, service_pb2.ExplainStreamRequest(frame=service_pb2.StreamFrame(image=png(3)))),
        "CreateJob": (job,),
        "ListJobs": (pages,),
    }
    return {
        f"{name}-{number}": bytes([names.index(name)]) + message.SerializeToString()
        for name, each in messages.items()
        for number, message in enumerate(each)
    }


def _worker_messages() -> dict[str, bytes]:
    clip = networks.clip()
    frames, height, width, _ = clip.shape
    compute = worker_pb2.Compute(
        clip=clip.tobytes(),
        frames=frames,
        height=height,
        width=width,
        methods=[GRAD_CAM, DTD, SELECTIVE],
        target=method_pb2.Target(explained=method_pb2.ClassSelector(index=1)),
    )
    return {
        "describe": worker_pb2.ComputeRequest(describe=worker_pb2.Describe()).SerializeToString(),
        "compute": worker_pb2.ComputeRequest(compute=compute).SerializeToString(),
    }


def _cards() -> dict[str, bytes]:
    folder = SEEDS / "card"
    made = {}
    for name, changes in {
        "plain": {},
        "full": {
            "description": "a net",
            "class_prior": [0.2, 0.3, 0.5],
            "scores": "probabilities",
            "input": {
                "frames": 6,
                "height": 12,
                "width": 16,
                "resize": "crop",
                "shorter": 20,
                "sampling": "rate",
                "fps": 5,
            },
        },
    }.items():
        made[f"{name}.yaml"] = write_card(networks.card(**changes), folder).read_bytes()
    (folder / "card.yaml").unlink()
    made["aliases.yaml"] = (
        made["plain.yaml"]
        .replace(b"  mean:\n  - 0.5", b"  mean: &m\n  - 0.5")
        .replace(b"  std:\n  - 0.2\n  - 0.25\n  - 0.3", b"  std: *m")
    )
    return made


def _catalogues() -> dict[str, bytes]:
    entry = {"family": "r3d-18", "url": "https://example.org/a.pth", "sha256": "0" * 64, "bytes": 3, "licence": "MIT"}
    return {"two.yaml": yaml.safe_dump({"a": entry, "b": entry | {"signature": "https://example.org/a.sig"}}).encode()}


def _truths() -> dict[str, bytes]:
    return {
        "boxes.csv": b"clip,class,frame,x0,y0,x1,y1\na.mp4,2,0,1,2,3,4\na.mp4,,1,1.5,2,3,4\nb.mp4,wave,,,,,\n",
        "frames.csv": b'clip,first_frame,last_frame\n"a, b.mp4",1,5\n',
        "lines.jsonl": b'{"clip": "a", "class": 1, "boxes": [[0, 1, 2, 3, 4]]}\n{"clip": "b", "class": "wave"}\n',
    }


def _labels() -> dict[str, bytes]:
    return {
        "lines": b"\0left\nright\nstill\n",
        "numbered": b"\x000 left\n1 right\n2 still\n",
        "map.json": b'\x01{"id2label": {"0": "left", "1": "right"}}',
        "list.json": b'\x01[{"id": 1, "name": "left"}, {"id": 2, "name": "right"}]',
        "table.csv": b'\x02id,name\n0,"left, far"\n1,right\n',
        "table.tsv": b"\x03name\tid\nleft\t0\nright\t1\n",
        "wide": b"\0" + "links\nrechts\n".encode("utf-16"),
    }


def _import_cards() -> dict[str, bytes]:
    document = networks.card().model_dump(mode="json", exclude={"weights"}, exclude_none=True)
    mapped = document | {"labels": {0: "left", 1: "right", 2: "still"}}
    return {"plain.yaml": yaml.safe_dump(document).encode(), "map.yaml": yaml.safe_dump(mapped).encode()}


def _configs() -> dict[str, bytes]:
    config = {
        "model_type": "videomae",
        "id2label": {"0": "left", "1": "right"},
        "hidden_size": 32,
        "torch_dtype": "float32",
        "transformers_weights": "model.safetensors",
    }
    return {
        "config.json": json.dumps(config).encode(),
        "plain.json": b'{"architectures": ["A"], "quantization_config": {}}',
    }


def _state() -> dict[str, torch.Tensor]:
    return {
        "stem.weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4),
        "stem.bias": torch.ones(2, dtype=torch.float16),
        "steps": torch.tensor(3),
    }


def _safetensors() -> dict[str, bytes]:
    return {"net.safetensors": save(_state(), {"format": "pt"}), "one.safetensors": save({"a": torch.zeros(1)})}


def _checkpoints() -> dict[str, bytes]:
    def written(document: object, **options: Any) -> bytes:
        out = io.BytesIO()
        torch.save(document, out, **options)
        return out.getvalue()

    trained = {
        "state_dict": _state(),
        "state_dict_ema": _state(),
        "epoch": 3,
        "optimizer": {"lr": 0.1, "groups": [(1, 2)]},
    }
    return {
        "state.pt": written(_state()),
        "trained.pt": written(trained),
        "old.pt": written(_state(), _use_new_zipfile_serialization=False),
        "plain.pt": pickle.dumps({"a": [1, 2.5, "x"], "b": (None, True)}),
    }


def _arrays() -> dict[str, bytes]:
    plain, small = io.BytesIO(), io.BytesIO()
    arrays = {name: tensor.numpy() for name, tensor in _state().items()}
    np.savez(plain, **arrays)
    np.savez_compressed(small, **arrays)
    return {"plain.npz": plain.getvalue(), "small.npz": small.getvalue()}


def _keras() -> dict[str, bytes]:
    config = {
        "class_name": "Sequential",
        "config": {
            "layers": [
                {
                    "class_name": "TimeDistributed",
                    "config": {
                        "name": "each",
                        "batch_input_shape": [None, 4, 8],
                        "layer": {"class_name": "Dense", "config": {"units": 2}},
                    },
                }
            ]
        },
    }
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        group = file.create_group("model_weights/each")
        group.attrs["weight_names"] = [b"each/kernel:0", b"each/bias:0"]
        group["each/kernel:0"] = np.ones((8, 2), np.float32)
        group.create_dataset("each/bias:0", data=np.ones(2, np.float32), compression="gzip", chunks=(2,))
    return {"each.h5": out.getvalue()}


def _graphs() -> dict[str, bytes]:
    nodes, weights = onnx_files.network()
    path = SEEDS / "onnx" / "made.onnx"
    made = {"named.onnx": onnx_files.write(path, nodes, weights, labels='["a", "b"]', mean="[0, 0, 0]").read_bytes()}
    ended = onnx.load(path)
    ended.graph.node.append(helper.make_node("Softmax", ["logits"], ["likely"], axis=-1))
    ended.graph.output[0].name = "likely"
    made["softmax.onnx"] = ended.SerializeToString()
    path.unlink()
    return made


_MAKERS: dict[str, Callable[[], dict[str, bytes]]] = {
    "picture": _pictures,
    "container": _films,
    "client-message": _client_messages,
    "worker-message": _worker_messages,
    "card": _cards,
    "catalogue": _catalogues,
    "truth": _truths,
    "labels": _labels,
    "import-card": _import_cards,
    "pretrained": _configs,
    "safetensors": _safetensors,
    "checkpoint": _checkpoints,
    "npz": _arrays,
    "keras": _keras,
    "onnx": _graphs,
}

if __name__ == "__main__":
    main()
