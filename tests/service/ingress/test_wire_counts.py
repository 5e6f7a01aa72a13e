"""What is counted on the wire, against what protobuf itself finds in the message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actionlens.v1 import clip_pb2, job_pb2, method_pb2, service_pb2
from service.errors import InvalidArgument
from service.ingress.wire_counts import LONGEST_TEXT, MOST_FIELDS, MOST_MESSAGES, MOST_NUMBERS, check_wire
from tests.hostile.wire import field, many, nested, varint, wide

CLIP = service_pb2.ExplainClipRequest.DESCRIPTOR
JOB = job_pb2.CreateJobRequest.DESCRIPTOR


def reason(data: bytes, kind: object = CLIP) -> str:
    with pytest.raises(InvalidArgument) as caught:
        check_wire(data, kind)  # type: ignore[arg-type]
    return caught.value.reason


def test_the_largest_job_passes() -> None:
    job = job_pb2.CreateJobRequest(method=method_pb2.Method(occlusion=method_pb2.Occlusion()))
    for number in range(10_000):
        clip = job.clips.add(name=f"{number}", path=f"{number}.mp4")
        clip.ground_truth.label.label = "wave"
        for frame in range(20):
            clip.ground_truth.boxes.add(frame=frame, x0=0.1, y0=0.2, x1=0.3, y1=0.4)
    check_wire(job.SerializeToString(), JOB)


def test_the_bounds_are_exact() -> None:
    entry = field(6, b"")
    check_wire(entry * MOST_MESSAGES, CLIP)
    assert reason(entry * (MOST_MESSAGES + 1)) == "TOO_MANY_ENTRIES"
    unknown = varint(100 << 3) + b"\0"
    check_wire(unknown * MOST_FIELDS, CLIP)
    assert reason(unknown * (MOST_FIELDS + 1)) == "TOO_MANY_ENTRIES"
    check_wire(field(1, b"a" * LONGEST_TEXT), CLIP)
    assert reason(field(1, b"a" * (LONGEST_TEXT + 1))) == "TEXT_TOO_LONG"
    # Two bytes each, and 8.
    check_wire(nested(4, 3, 1, content=b"\x80\1" * MOST_NUMBERS), CLIP)
    assert reason(nested(4, 3, 1, content=b"\x80\1" * (MOST_NUMBERS + 1))) == "TOO_MANY_ENTRIES"
    check_wire(nested(3, 2, 3, content=bytes(8 * MOST_NUMBERS)), CLIP)
    assert reason(nested(3, 2, 3, content=bytes(8 * (MOST_NUMBERS + 1)))) == "TOO_MANY_ENTRIES"


@pytest.mark.parametrize("name", wide(100))
def test_what_is_expensive_to_parse_is_refused(name: str) -> None:
    call, data = wide(2**25 - 2**17)[name]
    service, _, method = call.strip("/").rpartition("/")
    from google.protobuf import descriptor_pool
    from grpc_health.v1 import health_pb2

    assert health_pb2.DESCRIPTOR
    kind = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method].input_type
    assert reason(data, kind) in ("TOO_MANY_ENTRIES", "TEXT_TOO_LONG")


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\xff" * 20,
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x08\x80",
        b"\x0b\x0c",
        b"\x0f",
        field(3, b"\x0a\x05ab"),
        nested(*[1] * 0, content=b"\x1d\0\0"),
    ],
)
def test_bytes_that_are_no_protobuf(data: bytes) -> None:
    assert reason(data) == "MESSAGE_UNREADABLE"


def test_a_message_that_is_nested_too_deep() -> None:
    data = b""
    for _ in range(60):
        data = nested(18, 1, content=data)
    assert reason(nested(6, content=data)) == "MESSAGE_UNREADABLE"


@given(
    st.builds(
        service_pb2.ExplainClipRequest,
        model=st.text(max_size=20),
        clip=st.one_of(
            st.builds(clip_pb2.Clip, video=st.binary(max_size=50)),
            st.builds(
                lambda images, times: clip_pb2.Clip(frames=clip_pb2.EncodedFrames(images=images, timestamps=times)),
                st.lists(st.binary(max_size=9), max_size=5),
                st.lists(st.floats(), max_size=5),
            ),
        ),
        methods=st.lists(
            st.builds(
                lambda areas: method_pb2.Method(st_perturbation=method_pb2.StPerturbation(areas=areas)),
                st.lists(st.floats(), max_size=5),
            ),
            max_size=5,
        ),
    )
)
def test_what_protobuf_writes_passes(request: service_pb2.ExplainClipRequest) -> None:
    check_wire(request.SerializeToString(), CLIP)


def test_entries_that_are_not_packed_are_fields() -> None:
    assert reason(nested(4, 3, content=many(b"\x08\x01", 2 * (MOST_FIELDS + 1)))) == "TOO_MANY_ENTRIES"
