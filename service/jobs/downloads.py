"""Results of job clips as files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from actionlens.v1 import answer_pb2, clip_pb2, job_pb2
from service.concurrency.thread_pool import Pool
from service.decoding.process.decoder import Decoder
from service.errors import FailedPrecondition, InvalidArgument, NotFound
from service.jobs.protocol import JobEngine
from service.rendering.files import DISPLAY_SIDE, evaluation_png_file, mp4_file, png_file
from service.rendering.json_document import answer_document, json_file, npz_file
from service.validation.request import EVALUATE

_CHUNK = 2**20
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Download:
    """A file with its name."""

    name: str
    media_type: str
    data: bytes

    def messages(self) -> Iterator[job_pb2.DownloadResultResponse]:
        """The file as the messages of a stream: a header with the first chunk, then chunks."""
        header = job_pb2.ResultHeader(
            name=self.name,
            media_type=self.media_type,
            bytes=len(self.data),
            digest=hashlib.sha256(self.data).hexdigest(),
        )
        yield job_pb2.DownloadResultResponse(header=header, data=self.data[:_CHUNK])
        for start in range(_CHUNK, len(self.data), _CHUNK):
            yield job_pb2.DownloadResultResponse(data=self.data[start : start + _CHUNK])


async def make_download(
    engine: JobEngine, pool: Pool, request: job_pb2.DownloadResultRequest, decoder: Decoder
) -> Download:
    """A clip's result in the format asked for; images are drawn on the pool.

    Raises as JobEngine.result and JobEngine.source do, and FailedPrecondition for images of a clip whose file has
    changed since, and for a film of an explanation that has nothing to lay over frames.
    """
    answer = await engine.result(request.id, request.clip)
    status = await engine.clip(request.id, request.clip)
    kind = answer.explanations[0].method if answer.explanations else "answer"
    name = f"{status.name}.{kind}"
    match request.format:
        case job_pb2.RESULT_FORMAT_NPZ:
            data = await _on(pool, lambda: npz_file(answer_document(answer)[1]))
            return Download(f"{name}.npz", "application/x-npz", data)
        case job_pb2.RESULT_FORMAT_JSON:
            data = await _on(pool, lambda: json_file(answer_document(answer)[0]))
            return Download(f"{name}.json", "application/json", data)
        case job_pb2.RESULT_FORMAT_MP4 if kind == EVALUATE:
            raise _nothing_to_lay_over(kind)
        case job_pb2.RESULT_FORMAT_MP4:
            source = await _source(engine, request)
            return Download(f"{name}.mp4", "video/mp4", await _on(pool, lambda: _film(source, answer, decoder)))
        case job_pb2.RESULT_FORMAT_PNG if kind == EVALUATE:
            return Download(f"{name}.png", "image/png", await _on(pool, lambda: evaluation_png_file(answer)))
        case job_pb2.RESULT_FORMAT_PNG:
            source = await _source(engine, request)
            return Download(f"{name}.png", "image/png", await _on(pool, lambda: _sheet(source, answer, decoder)))
        case _:
            return Download(f"{name}.pb", "application/x-protobuf", answer.SerializeToString())


def _film(clip: clip_pb2.Clip, answer: answer_pb2.Answer, decoder: Decoder) -> bytes:
    frames = decoder.display(clip, answer.frames.used, DISPLAY_SIDE)
    drawn = mp4_file(frames, answer.explanations[0], answer.frames)
    if drawn is None:
        raise _nothing_to_lay_over(answer.explanations[0].method)
    return drawn


def _nothing_to_lay_over(method: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"format: {method} has nothing to lay over the frames; ask for PNG",
        field="format",
        reason="NOTHING_TO_LAY_OVER",
    )


def _sheet(clip: clip_pb2.Clip, answer: answer_pb2.Answer, decoder: Decoder) -> bytes:
    return png_file(decoder.display(clip, answer.frames.used, DISPLAY_SIDE), answer)


async def _source(engine: JobEngine, request: job_pb2.DownloadResultRequest) -> clip_pb2.Clip:
    try:
        return await engine.source(request.id, request.clip)
    except (NotFound, InvalidArgument, FailedPrecondition) as error:  # gone, or no longer below the input root
        if error.field == "id":
            raise
        raise NotFound(
            f"clip: pictures need the clip itself, and it is gone: {error.message}; NPZ, JSON and ANSWER do not",
            field="clip",
            reason="SOURCE_GONE",
        ) from None


async def _on(pool: Pool, work: Callable[[], T]) -> T:
    result, _, _ = await pool.run(work)
    return result
