"""What is counted before anything looks at it."""

from __future__ import annotations

import pytest

from actionlens.v1 import job_pb2, method_pb2
from service.errors import InvalidArgument
from service.validation.truth_checks import MAX_CLIPS, MAX_MEASUREMENTS, check_counts, check_measurements


def test_a_job_of_too_many_clips_is_refused_by_their_number() -> None:
    clips = [job_pb2.JobClip(path="a")] * MAX_CLIPS
    check_counts(clips)
    with pytest.raises(InvalidArgument, match=f"{MAX_CLIPS + 1} are more than {MAX_CLIPS}; make several jobs"):
        check_counts([*clips, clips[0]])


def test_what_a_job_measures_in_all_is_bounded() -> None:
    evaluate = method_pb2.Evaluate(
        methods=[method_pb2.Method(grad_cam={})] * 10, measures=[method_pb2.Measure(name="insertion")] * 20
    )
    check_measurements(MAX_MEASUREMENTS // 200, evaluate)
    with pytest.raises(InvalidArgument, match="times 10 methods times 20 measures are more than") as caught:
        check_measurements(MAX_MEASUREMENTS // 200 + 1, evaluate)
    assert caught.value.reason == "TOO_MANY_MEASUREMENTS"
