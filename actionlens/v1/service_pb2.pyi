import datetime

from actionlens.v1 import answer_pb2 as _answer_pb2
from actionlens.v1 import clip_pb2 as _clip_pb2
from actionlens.v1 import method_pb2 as _method_pb2
from actionlens.v1 import model_pb2 as _model_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FillPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILL_POLICY_UNSPECIFIED: _ClassVar[FillPolicy]
    FILL_POLICY_BLOCK: _ClassVar[FillPolicy]
    FILL_POLICY_DROP_OLDEST: _ClassVar[FillPolicy]

class ConsumePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSUME_POLICY_UNSPECIFIED: _ClassVar[ConsumePolicy]
    CONSUME_POLICY_EVERY: _ClassVar[ConsumePolicy]
    CONSUME_POLICY_NEWEST: _ClassVar[ConsumePolicy]
FILL_POLICY_UNSPECIFIED: FillPolicy
FILL_POLICY_BLOCK: FillPolicy
FILL_POLICY_DROP_OLDEST: FillPolicy
CONSUME_POLICY_UNSPECIFIED: ConsumePolicy
CONSUME_POLICY_EVERY: ConsumePolicy
CONSUME_POLICY_NEWEST: ConsumePolicy

class ExplainClipRequest(_message.Message):
    __slots__ = ("model", "version", "clip", "sampling", "target", "methods", "output")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    clip: _clip_pb2.Clip
    sampling: _clip_pb2.Sampling
    target: _method_pb2.Target
    methods: _containers.RepeatedCompositeFieldContainer[_method_pb2.Method]
    output: _answer_pb2.OutputOptions
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., clip: _Optional[_Union[_clip_pb2.Clip, _Mapping]] = ..., sampling: _Optional[_Union[_clip_pb2.Sampling, _Mapping]] = ..., target: _Optional[_Union[_method_pb2.Target, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[_method_pb2.Method, _Mapping]]] = ..., output: _Optional[_Union[_answer_pb2.OutputOptions, _Mapping]] = ...) -> None: ...

class ExplainClipResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: _answer_pb2.Answer
    def __init__(self, answer: _Optional[_Union[_answer_pb2.Answer, _Mapping]] = ...) -> None: ...

class ExplainStreamRequest(_message.Message):
    __slots__ = ("open", "frame", "update", "end")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    open: StreamOpen
    frame: StreamFrame
    update: StreamUpdate
    end: StreamEnd
    def __init__(self, open: _Optional[_Union[StreamOpen, _Mapping]] = ..., frame: _Optional[_Union[StreamFrame, _Mapping]] = ..., update: _Optional[_Union[StreamUpdate, _Mapping]] = ..., end: _Optional[_Union[StreamEnd, _Mapping]] = ...) -> None: ...

class StreamOpen(_message.Message):
    __slots__ = ("model", "version", "target", "methods", "output", "window", "fill", "consume", "budget")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    FILL_FIELD_NUMBER: _ClassVar[int]
    CONSUME_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    target: _method_pb2.Target
    methods: _containers.RepeatedCompositeFieldContainer[_method_pb2.Method]
    output: _answer_pb2.OutputOptions
    window: Window
    fill: FillPolicy
    consume: ConsumePolicy
    budget: Budget
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., target: _Optional[_Union[_method_pb2.Target, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[_method_pb2.Method, _Mapping]]] = ..., output: _Optional[_Union[_answer_pb2.OutputOptions, _Mapping]] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., fill: _Optional[_Union[FillPolicy, str]] = ..., consume: _Optional[_Union[ConsumePolicy, str]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("latency_seconds", "overhead_share")
    LATENCY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OVERHEAD_SHARE_FIELD_NUMBER: _ClassVar[int]
    latency_seconds: float
    overhead_share: float
    def __init__(self, latency_seconds: _Optional[float] = ..., overhead_share: _Optional[float] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("stride", "hop")
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    stride: int
    hop: int
    def __init__(self, stride: _Optional[int] = ..., hop: _Optional[int] = ...) -> None: ...

class StreamFrame(_message.Message):
    __slots__ = ("sequence", "timestamp", "image", "raw", "clock_jumps", "note")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    CLOCK_JUMPS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    timestamp: float
    image: bytes
    raw: RawPicture
    clock_jumps: int
    note: str
    def __init__(self, sequence: _Optional[int] = ..., timestamp: _Optional[float] = ..., image: _Optional[bytes] = ..., raw: _Optional[_Union[RawPicture, _Mapping]] = ..., clock_jumps: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class RawPicture(_message.Message):
    __slots__ = ("data", "height", "width")
    DATA_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    height: int
    width: int
    def __init__(self, data: _Optional[bytes] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class StreamUpdate(_message.Message):
    __slots__ = ("target", "methods", "clear_methods", "budget", "insertion_deletion_gap")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    CLEAR_METHODS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    INSERTION_DELETION_GAP_FIELD_NUMBER: _ClassVar[int]
    target: _method_pb2.Target
    methods: _containers.RepeatedCompositeFieldContainer[_method_pb2.Method]
    clear_methods: bool
    budget: Budget
    insertion_deletion_gap: bool
    def __init__(self, target: _Optional[_Union[_method_pb2.Target, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[_method_pb2.Method, _Mapping]]] = ..., clear_methods: bool = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., insertion_deletion_gap: bool = ...) -> None: ...

class StreamEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExplainStreamResponse(_message.Message):
    __slots__ = ("opened", "window", "credit", "summary")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    opened: StreamOpened
    window: WindowAnswer
    credit: StreamCredit
    summary: StreamSummary
    def __init__(self, opened: _Optional[_Union[StreamOpened, _Mapping]] = ..., window: _Optional[_Union[WindowAnswer, _Mapping]] = ..., credit: _Optional[_Union[StreamCredit, _Mapping]] = ..., summary: _Optional[_Union[StreamSummary, _Mapping]] = ...) -> None: ...

class StreamOpened(_message.Message):
    __slots__ = ("credit", "window", "model", "version")
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    credit: int
    window: Window
    model: str
    version: str
    def __init__(self, credit: _Optional[int] = ..., window: _Optional[_Union[Window, _Mapping]] = ..., model: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class StreamCredit(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: int
    def __init__(self, frames: _Optional[int] = ...) -> None: ...

class WindowAnswer(_message.Message):
    __slots__ = ("window", "answer", "lag", "counts", "skipped_windows")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    window: int
    answer: _answer_pb2.Answer
    lag: float
    counts: FrameCounts
    skipped_windows: int
    def __init__(self, window: _Optional[int] = ..., answer: _Optional[_Union[_answer_pb2.Answer, _Mapping]] = ..., lag: _Optional[float] = ..., counts: _Optional[_Union[FrameCounts, _Mapping]] = ..., skipped_windows: _Optional[int] = ...) -> None: ...

class FrameCounts(_message.Message):
    __slots__ = ("received", "used", "dropped_stale", "dropped_full", "rejected", "waiting", "missing", "resized", "clock_jumps")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_STALE_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FULL_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    RESIZED_FIELD_NUMBER: _ClassVar[int]
    CLOCK_JUMPS_FIELD_NUMBER: _ClassVar[int]
    received: int
    used: int
    dropped_stale: int
    dropped_full: int
    rejected: int
    waiting: int
    missing: int
    resized: int
    clock_jumps: int
    def __init__(self, received: _Optional[int] = ..., used: _Optional[int] = ..., dropped_stale: _Optional[int] = ..., dropped_full: _Optional[int] = ..., rejected: _Optional[int] = ..., waiting: _Optional[int] = ..., missing: _Optional[int] = ..., resized: _Optional[int] = ..., clock_jumps: _Optional[int] = ...) -> None: ...

class StreamSummary(_message.Message):
    __slots__ = ("counts", "windows", "skipped_windows", "elapsed")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    counts: FrameCounts
    windows: int
    skipped_windows: int
    elapsed: _duration_pb2.Duration
    def __init__(self, counts: _Optional[_Union[FrameCounts, _Mapping]] = ..., windows: _Optional[int] = ..., skipped_windows: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "next_page_token")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[_model_pb2.Model]
    next_page_token: str
    def __init__(self, models: _Optional[_Iterable[_Union[_model_pb2.Model, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: _model_pb2.Model
    def __init__(self, model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ...) -> None: ...
