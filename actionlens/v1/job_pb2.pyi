import datetime

from actionlens.v1 import clip_pb2 as _clip_pb2
from actionlens.v1 import explanation_pb2 as _explanation_pb2
from actionlens.v1 import method_pb2 as _method_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobPriority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_PRIORITY_UNSPECIFIED: _ClassVar[JobPriority]
    JOB_PRIORITY_LOW: _ClassVar[JobPriority]
    JOB_PRIORITY_NORMAL: _ClassVar[JobPriority]
    JOB_PRIORITY_HIGH: _ClassVar[JobPriority]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_PARTIAL: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class ClipState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLIP_STATE_UNSPECIFIED: _ClassVar[ClipState]
    CLIP_STATE_QUEUED: _ClassVar[ClipState]
    CLIP_STATE_RUNNING: _ClassVar[ClipState]
    CLIP_STATE_SUCCEEDED: _ClassVar[ClipState]
    CLIP_STATE_FAILED: _ClassVar[ClipState]
    CLIP_STATE_CANCELLED: _ClassVar[ClipState]

class ResultFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESULT_FORMAT_UNSPECIFIED: _ClassVar[ResultFormat]
    RESULT_FORMAT_ANSWER: _ClassVar[ResultFormat]
    RESULT_FORMAT_NPZ: _ClassVar[ResultFormat]
    RESULT_FORMAT_JSON: _ClassVar[ResultFormat]
    RESULT_FORMAT_MP4: _ClassVar[ResultFormat]
    RESULT_FORMAT_PNG: _ClassVar[ResultFormat]
JOB_PRIORITY_UNSPECIFIED: JobPriority
JOB_PRIORITY_LOW: JobPriority
JOB_PRIORITY_NORMAL: JobPriority
JOB_PRIORITY_HIGH: JobPriority
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_PARTIAL: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
CLIP_STATE_UNSPECIFIED: ClipState
CLIP_STATE_QUEUED: ClipState
CLIP_STATE_RUNNING: ClipState
CLIP_STATE_SUCCEEDED: ClipState
CLIP_STATE_FAILED: ClipState
CLIP_STATE_CANCELLED: ClipState
RESULT_FORMAT_UNSPECIFIED: ResultFormat
RESULT_FORMAT_ANSWER: ResultFormat
RESULT_FORMAT_NPZ: ResultFormat
RESULT_FORMAT_JSON: ResultFormat
RESULT_FORMAT_MP4: ResultFormat
RESULT_FORMAT_PNG: ResultFormat

class CreateJobRequest(_message.Message):
    __slots__ = ("request_id", "tenant", "priority", "model", "version", "method", "target", "sampling", "clips", "seed")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    priority: JobPriority
    model: str
    version: str
    method: _method_pb2.Method
    target: _method_pb2.Target
    sampling: _clip_pb2.Sampling
    clips: _containers.RepeatedCompositeFieldContainer[JobClip]
    seed: int
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., priority: _Optional[_Union[JobPriority, str]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., method: _Optional[_Union[_method_pb2.Method, _Mapping]] = ..., target: _Optional[_Union[_method_pb2.Target, _Mapping]] = ..., sampling: _Optional[_Union[_clip_pb2.Sampling, _Mapping]] = ..., clips: _Optional[_Iterable[_Union[JobClip, _Mapping]]] = ..., seed: _Optional[int] = ...) -> None: ...

class JobClip(_message.Message):
    __slots__ = ("name", "clip", "path", "ground_truth")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    GROUND_TRUTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    clip: _clip_pb2.Clip
    path: str
    ground_truth: GroundTruth
    def __init__(self, name: _Optional[str] = ..., clip: _Optional[_Union[_clip_pb2.Clip, _Mapping]] = ..., path: _Optional[str] = ..., ground_truth: _Optional[_Union[GroundTruth, _Mapping]] = ...) -> None: ...

class GroundTruth(_message.Message):
    __slots__ = ("label", "boxes", "masks", "segment")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    MASKS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    label: _method_pb2.ClassSelector
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    masks: Masks
    segment: Segment
    def __init__(self, label: _Optional[_Union[_method_pb2.ClassSelector, _Mapping]] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., masks: _Optional[_Union[Masks, _Mapping]] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("frame", "x0", "y0", "x1", "y1")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    X0_FIELD_NUMBER: _ClassVar[int]
    Y0_FIELD_NUMBER: _ClassVar[int]
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    frame: int
    x0: float
    y0: float
    x1: float
    y1: float
    def __init__(self, frame: _Optional[int] = ..., x0: _Optional[float] = ..., y0: _Optional[float] = ..., x1: _Optional[float] = ..., y1: _Optional[float] = ...) -> None: ...

class Masks(_message.Message):
    __slots__ = ("frames", "count", "height", "width", "bits")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedScalarFieldContainer[int]
    count: int
    height: int
    width: int
    bits: bytes
    def __init__(self, frames: _Optional[_Iterable[int]] = ..., count: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., bits: _Optional[bytes] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("frames", "seconds")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    frames: FrameRange
    seconds: TimeRange
    def __init__(self, frames: _Optional[_Union[FrameRange, _Mapping]] = ..., seconds: _Optional[_Union[TimeRange, _Mapping]] = ...) -> None: ...

class FrameRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("begin", "end")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    begin: float
    end: float
    def __init__(self, begin: _Optional[float] = ..., end: _Optional[float] = ...) -> None: ...

class CreateJobResponse(_message.Message):
    __slots__ = ("job", "created")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    job: Job
    created: bool
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., created: bool = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "request_id", "tenant", "priority", "state", "model", "version", "method", "target", "seed", "clips", "created", "started", "ended", "expires", "failure", "cancelling")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CANCELLING_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    tenant: str
    priority: JobPriority
    state: JobState
    model: str
    version: str
    method: _method_pb2.Method
    target: _method_pb2.Target
    seed: int
    clips: ClipCounts
    created: _timestamp_pb2.Timestamp
    started: _timestamp_pb2.Timestamp
    ended: _timestamp_pb2.Timestamp
    expires: _timestamp_pb2.Timestamp
    failure: _explanation_pb2.Failure
    cancelling: bool
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., priority: _Optional[_Union[JobPriority, str]] = ..., state: _Optional[_Union[JobState, str]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., method: _Optional[_Union[_method_pb2.Method, _Mapping]] = ..., target: _Optional[_Union[_method_pb2.Target, _Mapping]] = ..., seed: _Optional[int] = ..., clips: _Optional[_Union[ClipCounts, _Mapping]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., failure: _Optional[_Union[_explanation_pb2.Failure, _Mapping]] = ..., cancelling: bool = ...) -> None: ...

class ClipCounts(_message.Message):
    __slots__ = ("total", "queued", "running", "succeeded", "failed", "cancelled")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    def __init__(self, total: _Optional[int] = ..., queued: _Optional[int] = ..., running: _Optional[int] = ..., succeeded: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ...) -> None: ...

class JobClipStatus(_message.Message):
    __slots__ = ("index", "name", "state", "failure", "progress", "result_digest", "result_bytes", "seconds")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    state: ClipState
    failure: _explanation_pb2.Failure
    progress: ClipProgress
    result_digest: str
    result_bytes: int
    seconds: float
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., state: _Optional[_Union[ClipState, str]] = ..., failure: _Optional[_Union[_explanation_pb2.Failure, _Mapping]] = ..., progress: _Optional[_Union[ClipProgress, _Mapping]] = ..., result_digest: _Optional[str] = ..., result_bytes: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class ClipProgress(_message.Message):
    __slots__ = ("iteration", "iterations", "left", "objective")
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    iteration: int
    iterations: int
    left: _duration_pb2.Duration
    objective: float
    def __init__(self, iteration: _Optional[int] = ..., iterations: _Optional[int] = ..., left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., objective: _Optional[float] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "method", "model", "tenant")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[JobState]
    method: str
    model: str
    tenant: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[JobState, str]]] = ..., method: _Optional[str] = ..., model: _Optional[str] = ..., tenant: _Optional[str] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListJobClipsRequest(_message.Message):
    __slots__ = ("id", "page_size", "page_token", "states")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    id: str
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[ClipState]
    def __init__(self, id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[ClipState, str]]] = ...) -> None: ...

class ListJobClipsResponse(_message.Message):
    __slots__ = ("clips", "next_page_token")
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    clips: _containers.RepeatedCompositeFieldContainer[JobClipStatus]
    next_page_token: str
    def __init__(self, clips: _Optional[_Iterable[_Union[JobClipStatus, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("id", "partial_results")
    ID_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_RESULTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    partial_results: bool
    def __init__(self, id: _Optional[str] = ..., partial_results: bool = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job", "running", "partial", "objective")
    JOB_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    job: Job
    running: _containers.RepeatedCompositeFieldContainer[JobClipStatus]
    partial: _explanation_pb2.Explanation
    objective: _explanation_pb2.Curve
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., running: _Optional[_Iterable[_Union[JobClipStatus, _Mapping]]] = ..., partial: _Optional[_Union[_explanation_pb2.Explanation, _Mapping]] = ..., objective: _Optional[_Union[_explanation_pb2.Curve, _Mapping]] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RetryJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class DeleteJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteJobResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DownloadResultRequest(_message.Message):
    __slots__ = ("id", "clip", "format")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    id: str
    clip: int
    format: ResultFormat
    def __init__(self, id: _Optional[str] = ..., clip: _Optional[int] = ..., format: _Optional[_Union[ResultFormat, str]] = ...) -> None: ...

class DownloadResultResponse(_message.Message):
    __slots__ = ("header", "data")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: ResultHeader
    data: bytes
    def __init__(self, header: _Optional[_Union[ResultHeader, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ResultHeader(_message.Message):
    __slots__ = ("name", "media_type", "bytes", "digest")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    media_type: str
    bytes: int
    digest: str
    def __init__(self, name: _Optional[str] = ..., media_type: _Optional[str] = ..., bytes: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class PlanEvaluationRequest(_message.Message):
    __slots__ = ("model", "version", "evaluate", "frames")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    evaluate: _method_pb2.Evaluate
    frames: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., evaluate: _Optional[_Union[_method_pb2.Evaluate, _Mapping]] = ..., frames: _Optional[int] = ...) -> None: ...

class PlanEvaluationResponse(_message.Message):
    __slots__ = ("plan",)
    PLAN_FIELD_NUMBER: _ClassVar[int]
    plan: EvaluationPlan
    def __init__(self, plan: _Optional[_Union[EvaluationPlan, _Mapping]] = ...) -> None: ...

class EvaluationPlan(_message.Message):
    __slots__ = ("forwards", "measures", "iterations")
    FORWARDS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    forwards: int
    measures: _containers.RepeatedCompositeFieldContainer[PlannedMeasure]
    iterations: int
    def __init__(self, forwards: _Optional[int] = ..., measures: _Optional[_Iterable[_Union[PlannedMeasure, _Mapping]]] = ..., iterations: _Optional[int] = ...) -> None: ...

class PlannedMeasure(_message.Message):
    __slots__ = ("measure", "forwards", "times")
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    FORWARDS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    measure: str
    forwards: int
    times: int
    def __init__(self, measure: _Optional[str] = ..., forwards: _Optional[int] = ..., times: _Optional[int] = ...) -> None: ...
