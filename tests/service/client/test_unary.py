from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from service import errors
from service.client import AsyncClient, Client
from service.errors import Unavailable
from tests.service.client.peer import (
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    Peer,
    answer,
    rich_abort,
    wait_for_the_client_to_leave,
)
from tests.waiting import PATIENCE

CLIP = np.zeros((2, 4, 4, 3), np.uint8)


def test_a_result_has_numbers_and_arrays(call: Callable[..., Any]) -> None:
    result = call("explain_clip", CLIP)
    assert result.prediction.top[0].label == "wave"
    np.testing.assert_array_equal(result.logits, [0.0, 0.5, 1.5])
    assert result.frame_logits is None
    assert list(result.explanations) == ["grad-cam", "grad-cam-2", "other"]
    first = result.explanations["grad-cam"]
    np.testing.assert_array_equal(first.values, [[[0, 1], [2, 3]]])
    np.testing.assert_array_equal(first.mask, [[[False, True], [False, True]]])
    assert first.frame_positions == (1.5,)
    # Zero is a value that was computed, not one left out.
    assert first.quality == {"motion_share": 0.0}
    assert result.explanations["grad-cam-2"].seconds == 0.02


def test_a_failed_explanation_says_why_when_its_values_are_asked_for(client: Client) -> None:
    failed = client.explain_clip(CLIP).explanations["other"]
    assert failed.failed
    with pytest.raises(errors.ActionLensError, match="no gradient") as caught:
        _ = failed.values
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION


def test_unavailable_is_tried_again(peer: Peer, call: Callable[..., Any]) -> None:
    # Larger than what gRPC holds for a retry unless set otherwise (256 KiB).
    large = np.zeros((4, 300, 300, 3), np.uint8)

    def restarting(attempt: int, request: Any, context: grpc.ServicerContext) -> Any:
        if attempt < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "a worker died")
        return answer(str(len(request.clip.raw.data)))

    peer.clip = restarting
    assert call("explain_clip", large).prediction.top[0].label == str(large.size)
    assert peer.attempts == 3


def test_other_errors_are_not_tried_again(peer: Peer, call: Callable[..., Any]) -> None:
    peer.clip = lambda _attempt, _request, context: rich_abort(
        context, INVALID_ARGUMENT, "threshold: too low", "methods[0].selective_relevance.threshold", 0.0
    )
    with pytest.raises(errors.InvalidArgument) as caught:
        call("explain_clip", CLIP)
    assert peer.attempts == 1
    assert caught.value.message == "threshold: too low"
    assert caught.value.reason == "A_REASON"
    assert caught.value.field == "methods[0].selective_relevance.threshold"


def test_an_error_tells_when_to_come_back(peer: Peer, client: Client) -> None:
    peer.clip = lambda _attempt, _request, context: rich_abort(context, RESOURCE_EXHAUSTED, "full", "", 1.25)
    with pytest.raises(errors.ResourceExhausted) as caught:
        client.explain_clip(CLIP)
    assert caught.value.retry_after == 1.25


def test_retries_end_with_the_deadline(peer: Peer, call: Callable[..., Any]) -> None:
    peer.clip = lambda _attempt, _request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "never")
    with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
        call("explain_clip", CLIP, timeout=0.5)
    # With the waits between them, five take more than three seconds.
    assert peer.attempts < 5


def test_a_deadline_is_kept(peer: Peer, call: Callable[..., Any]) -> None:
    def slow(_attempt: int, _request: Any, context: grpc.ServicerContext) -> Any:
        wait_for_the_client_to_leave(context)
        return answer()

    peer.clip = slow
    with pytest.raises(errors.DeadlineExceeded, match="longer timeout"):
        call("explain_clip", CLIP, timeout=0.3)


def test_nobody_there_says_how_to_start_a_service() -> None:
    with (
        Client("127.0.0.1:1") as client,
        pytest.raises(errors.Unavailable, match=r"127\.0\.0\.1:1: .*actionlens serve"),
    ):
        client.health(timeout=PATIENCE)


def test_a_code_without_a_class_of_its_own_is_kept(peer: Peer, client: Client) -> None:
    with pytest.raises(errors.ActionLensError) as caught:
        client.get_model("m")
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_models_of_all_pages_are_listed(call: Callable[..., Any]) -> None:
    assert [model.name for model in call("list_models")] == [f"model-{number}" for number in range(5)]


async def test_the_port_of_the_page_is_told_from_that_of_calls() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(web, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            with pytest.raises(Unavailable, match=f"127.0.0.1:{port} answers in HTTP/1: .* clients call the gRPC port"):
                await client.health()
