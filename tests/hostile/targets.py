"""What is tried: for every target a reader, its seeds, words of its language, and what it may raise."""

from __future__ import annotations

import os
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from tests.hostile.mutation import Repair, mutated

SEEDS = Path(__file__).parent / "seeds"


@dataclass(frozen=True)
class Target:
    """side: which of the two halves of the product it is of; cases of one run are tried in one process for each.
    cases: of a run in CI; 0: not there, and not unless it is named. load: imports what it needs and returns the reader
    with the errors that it may raise."""

    name: str
    side: str
    cases: int
    load: Callable[[Path], tuple[Callable[[bytes], object], tuple[type[Exception], ...]]]
    words: tuple[bytes, ...] = ()
    repair: Repair | None = None
    seeds: tuple[bytes, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Read the seeds, in the order of their names."""
        files = sorted((SEEDS / self.name).glob("*"))
        object.__setattr__(self, "seeds", tuple(file.read_bytes() for file in files))


def _file(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of files as a reader of bytes."""

    def reader(data: bytes) -> object:
        path = folder / name
        path.write_bytes(data)
        return read(path)

    return reader


def _limits() -> Any:
    from service.settings import Limits

    return Limits(pixels=256 * 256, frames=64, seconds=60, decode_seconds=5)


def _picture(_: Path) -> Any:
    from service.decoding.image import decode_image, image_size
    from service.errors import InvalidArgument

    limits = _limits()

    def read(data: bytes) -> None:
        image = decode_image(data, limits, "picture")
        assert image.shape[:2][::-1] == image_size(data, limits, "picture"), "the header's size is another"

    return read, (InvalidArgument,)


def _container(_: Path) -> Any:
    from actionlens.v1 import clip_pb2, model_pb2
    from service.decoding.clip import decode_clip
    from service.errors import DeadlineExceeded, InvalidArgument

    size = model_pb2.ModelInput(frames=4, height=16, width=16, resize="stretch", sampling="uniform", stride=1)
    limits = _limits()

    def read(data: bytes) -> None:
        clip = decode_clip(clip_pb2.Clip(video=data), clip_pb2.Sampling(), size, limits)
        assert clip.frames.shape == (4, 16, 16, 3)

    return read, (InvalidArgument, DeadlineExceeded)


def _client_message(_: Path) -> Any:
    from actionlens.v1 import job_pb2, service_pb2
    from service.dataplane.resolved_request import resolve_clip
    from service.dataplane.served_models import ServedModels
    from service.decoding.clip import decode_clip
    from service.errors import ActionLensError
    from service.gateway.rpc_bridge import RpcBridge
    from service.jobs.requests import complete_job, complete_page
    from service.settings import Settings
    from service.streaming.open_request import read_open_request
    from service.validation.request import check_message
    from tests.service.backend import PixelBackend

    class Servicer:
        """Stands for those of the service: here their requests are only parsed."""

        def __getattr__(self, name: str) -> object:
            return None

    settings = Settings(limits=_limits())
    served = ServedModels(PixelBackend(), settings)
    bridge = RpcBridge(
        (service_pb2.DESCRIPTOR.services_by_name["ExplanationService"], Servicer()),
        (job_pb2.DESCRIPTOR.services_by_name["ExplanationJobService"], Servicer()),
    )
    calls = [
        bridge.find(method.name, streaming=method.client_streaming or method.server_streaming)
        for module in (service_pb2, job_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]

    def read(data: bytes) -> None:
        if not data:
            return
        message: Any = calls[data[0] % len(calls)].parse(data[1:])
        check_message(message)
        match message.DESCRIPTOR.name:
            case "ExplainClipRequest":
                resolved = resolve_clip(message, served)
                decode_clip(message.clip, message.sampling, resolved.model.input, settings.limits)
            case "ExplainStreamRequest":
                read_open_request(message, served, settings)
            case "CreateJobRequest":
                complete_job(message, served, None)
            case "ListJobsRequest" | "ListJobClipsRequest":
                complete_page(message)

    return read, (ActionLensError,)


def _worker_message(_: Path) -> Any:
    from google.protobuf.message import DecodeError

    from actionlens.worker.v1 import worker_pb2
    from handlers.engine.engine import Engine
    from handlers.errors import INTERNAL
    from handlers.wire.requests import answer_bytes
    from tests.handlers import networks

    engine = Engine(networks.model())

    def read(data: bytes) -> None:
        try:
            request = worker_pb2.ComputeRequest.FromString(data)
        except DecodeError:
            request = worker_pb2.ComputeRequest()
        # Only the service writes these; what is asked for may cost what it costs, and files are its own.
        request.compute.clip_file = request.advance.compute.clip_file = ""
        if request.WhichOneof("work") == "advance":
            data = worker_pb2.ComputeRequest(compute=request.advance.compute).SerializeToString()
        (reply,) = answer_bytes(engine, [data])
        answer = worker_pb2.ComputeResponse.FromString(reply)
        assert answer.failure.code != INTERNAL, answer.failure.message

    return read, ()


def _card(folder: Path) -> Any:
    from actionlens.card import CardError, read_card

    return _file(folder, "card.yaml", lambda path: read_card(path.parent)), (CardError,)


def _catalogue(folder: Path) -> Any:
    from service.cli.weights_download import read_catalogue
    from service.errors import InvalidArgument

    return _file(folder, "catalogue.yaml", read_catalogue), (InvalidArgument,)


def _truth(folder: Path) -> Any:
    from service.client.evaluations.truth_file import read_truth
    from service.errors import InvalidArgument

    return _file(folder, "truth.csv", read_truth), (InvalidArgument,)


def _labels(folder: Path) -> Any:
    from handlers.errors import ModelError
    from handlers.labels import read_labels

    readers = [_file(folder, f"labels{suffix}", read_labels) for suffix in ("", ".json", ".csv", ".tsv")]
    return lambda data: readers[data[0] % 4](data[1:]) if data else None, (ModelError,)


def _import_card(folder: Path) -> Any:
    from handlers.errors import ModelError
    from handlers.importing.card_file import card_document

    return _file(folder, "card.yaml", card_document), (ModelError,)


def _pretrained(folder: Path) -> Any:
    from handlers.errors import ModelError
    from handlers.importing.huggingface_weights import pretrained_weights, read_document

    (folder / "model.safetensors").write_bytes((SEEDS / "safetensors" / "net.safetensors").read_bytes())

    def read(path: Path) -> None:
        pretrained_weights(path.parent, read_document(path))

    return _file(folder, "config.json", read), (ModelError,)


def _weights(suffix: str) -> Callable[[Path], Any]:
    def load(folder: Path) -> Any:
        from handlers.errors import ModelError
        from handlers.tensor_files.weights import read_weights_file

        return _file(folder, f"weights{suffix}", read_weights_file), (ModelError,)

    return load


def _keras(folder: Path) -> Any:
    from handlers.errors import ModelError
    from handlers.tensor_files.keras import read_layers

    return _file(folder, "model.h5", read_layers), (ModelError,)


def _onnx(folder: Path) -> Any:
    from handlers.errors import ModelError
    from handlers.onnx_import.convert import convert
    from handlers.onnx_import.file import read_onnx
    from handlers.onnx_import.logits import with_logits
    from handlers.onnx_import.node_context import Unconverted

    def read(path: Path) -> None:
        file = read_onnx(path)
        size = (4, 12, 16)
        convert(with_logits(file, size, None).file, size)

    return _file(folder, "model.onnx", read), (ModelError, Unconverted)


def _faulty(_: Path) -> Any:
    """After its seed: another exception, then too much memory, then the end of the process."""
    faults = iter((lambda: None, lambda: {}["key"], lambda: bytearray(2**34), os.abort))
    return lambda data: next(faults)(), (ValueError,)


def _endless(_: Path) -> Any:
    """After its seed: computing without end."""
    begun: list[bytes] = []

    def read(data: bytes) -> None:
        begun.append(data)
        while len(begun) > 1:
            pass

    return read, ()


def _png(data: bytes, chance: random.Random) -> bytes:
    """One chunk mutated, and every checksum right."""
    if not data.startswith(b"\x89PNG"):
        return mutated(data, chance)
    chunks, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    index = chance.randrange(len(chunks))
    kind, content = chunks[index]
    if kind == b"IDAT" and chance.random() < 0.7:
        content = zlib.compress(mutated(zlib.decompress(content), chance))
    else:
        content = mutated(content, chance)
    chunks[index] = kind, content
    if chance.random() < 0.3:
        chunks.insert(chance.randrange(len(chunks) + 1), chance.choice(chunks))
    made = [
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in chunks
    ]
    return data[:8] + b"".join(made)


def _safetensors(data: bytes, chance: random.Random) -> bytes:
    """The header mutated, and its length right."""
    length = int.from_bytes(data[:8], "little")
    header = mutated(data[8 : 8 + length], chance, (b"[]", b"{}", b"[0,0]", b"BOOL", b"F64", b'"x":', b",", b"-1"))
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _zip(data: bytes, chance: random.Random) -> bytes:
    """One member mutated, and every checksum right."""
    try:
        with ZipFile(BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except BadZipFile:
        return mutated(data, chance, _PICKLE)
    name = chance.choice(sorted(parts))
    parts[name] = mutated(parts[name], chance, _PICKLE)
    out = BytesIO()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        for each, content in parts.items():
            archive.writestr(each, content)
    return out.getvalue()


_YAML = (
    *(
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!binary ",
        b"!!timestamp ",
        b"!!set ",
        b"!!python/name:os ",
        b"!!int ",
        b"- ",
        b"? ",
    ),
    *(b"{", b"}", b"[", b"]", b"---\n", b"...\n", b"%YAML 1.1\n", b"\t", b"\xff", b"\xf0\x9f\x98\x80", b"|\n", b">\n"),
    *(b"~", b"true", b"1e999", b".nan", b".inf", b'"', b"'", b"\\", b"#", b"\n", b": "),
)
_JSON = (
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"null",
    b"\xff",
    b"[" * 70,
)
_PICKLE = (
    b"c",
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"(",
    b"t",
    b"R",
    b"b",
    b"0",
    b"2",
    b"h\x00",
    b"J\xff\xff\xff\x7f",
    b"\x8a\xff",
)
_PICTURE = (
    b"\xff\xd8",
    b"\xff\xda",
    b"\xff\xc4",
    b"\xff\xdb",
    b"\xff\xe1",
    b"IHDR",
    b"IDAT",
    b"PLTE",
    b"tRNS",
    b"eXIf",
    b"cICP",
    b"zTXt",
)
_BOXES = (
    b"moov",
    b"trak",
    b"stsz",
    b"stco",
    b"stts",
    b"mdat",
    b"elst",
    b"RIFF",
    b"movi",
    b"\x1a\x45\xdf\xa3",
    b"GIF89a",
    b"\x21\xf9",
)

TARGETS = {
    target.name: target
    for target in (
        Target("picture", "service", 12_000, _picture, _PICTURE, _png),
        Target("container", "service", 1_500, _container, _BOXES),
        Target("client-message", "service", 15_000, _client_message),
        Target("card", "service", 1_000, _card, _YAML),
        Target("catalogue", "service", 1_000, _catalogue, _YAML),
        Target("truth", "service", 10_000, _truth, (*_JSON, b",", b"\r", b"\0", b'"')),
        Target("labels", "handlers", 10_000, _labels, (*_JSON, b",", b"\t", b";", b"\xff\xfe")),
        Target("import-card", "handlers", 1_000, _import_card, (*_YAML, b"labels_file: card.yaml\n")),
        Target("pretrained", "handlers", 5_000, _pretrained, (*_JSON, b'"transformers_weights": "config.json",')),
        Target("safetensors", "handlers", 4_000, _weights(".safetensors"), _JSON, _safetensors),
        Target("checkpoint", "handlers", 2_000, _weights(".pt"), _PICKLE, _zip),
        Target("npz", "handlers", 2_000, _weights(".npz"), (b"descr", b"'<f4'", b"'|O'", b"(9999999, 9999999)"), _zip),
        Target("keras", "handlers", 0, _keras, _JSON),
        Target("onnx", "handlers", 1_500, _onnx, (b"\x0a", b"\x12", b"Conv", b"Reshape", b"Slice", b"\xff")),
        Target("worker-message", "handlers", 1_500, _worker_message),
    )
}

FAULTS = {target.name: target for target in (Target("faulty", "", 0, _faulty), Target("endless", "", 0, _endless))}
"""Readers with every fault, for the test of the harness."""


def workplace() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files of a run, in memory where there is such a place."""
    shared = Path("/dev/shm")
    return tempfile.TemporaryDirectory(prefix="actionlens-hostile-", dir=shared if shared.is_dir() else None)
