from actionlens.v1 import explanation_pb2 as _explanation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ValueEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_ENCODING_UNSPECIFIED: _ClassVar[ValueEncoding]
    VALUE_ENCODING_FLOAT32: _ClassVar[ValueEncoding]
    VALUE_ENCODING_FLOAT16: _ClassVar[ValueEncoding]
    VALUE_ENCODING_UINT8: _ClassVar[ValueEncoding]

class OverlayFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERLAY_FORMAT_UNSPECIFIED: _ClassVar[OverlayFormat]
    OVERLAY_FORMAT_MP4: _ClassVar[OverlayFormat]
    OVERLAY_FORMAT_JPEG: _ClassVar[OverlayFormat]

class ExplanationLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPLANATION_LEVEL_UNSPECIFIED: _ClassVar[ExplanationLevel]
    EXPLANATION_LEVEL_PREDICTION: _ClassVar[ExplanationLevel]
    EXPLANATION_LEVEL_GRAD_CAM: _ClassVar[ExplanationLevel]
    EXPLANATION_LEVEL_SELECTIVE_RELEVANCE: _ClassVar[ExplanationLevel]
    EXPLANATION_LEVEL_TEMPORAL_RELEVANCE: _ClassVar[ExplanationLevel]
VALUE_ENCODING_UNSPECIFIED: ValueEncoding
VALUE_ENCODING_FLOAT32: ValueEncoding
VALUE_ENCODING_FLOAT16: ValueEncoding
VALUE_ENCODING_UINT8: ValueEncoding
OVERLAY_FORMAT_UNSPECIFIED: OverlayFormat
OVERLAY_FORMAT_MP4: OverlayFormat
OVERLAY_FORMAT_JPEG: OverlayFormat
EXPLANATION_LEVEL_UNSPECIFIED: ExplanationLevel
EXPLANATION_LEVEL_PREDICTION: ExplanationLevel
EXPLANATION_LEVEL_GRAD_CAM: ExplanationLevel
EXPLANATION_LEVEL_SELECTIVE_RELEVANCE: ExplanationLevel
EXPLANATION_LEVEL_TEMPORAL_RELEVANCE: ExplanationLevel

class OutputOptions(_message.Message):
    __slots__ = ("encoding", "overlay", "top_k", "insertion_deletion_gap")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    INSERTION_DELETION_GAP_FIELD_NUMBER: _ClassVar[int]
    encoding: ValueEncoding
    overlay: OverlayFormat
    top_k: int
    insertion_deletion_gap: bool
    def __init__(self, encoding: _Optional[_Union[ValueEncoding, str]] = ..., overlay: _Optional[_Union[OverlayFormat, str]] = ..., top_k: _Optional[int] = ..., insertion_deletion_gap: bool = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("model", "version", "prediction", "explanations", "frames", "timings", "level", "level_reason", "quality")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    LEVEL_REASON_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    prediction: _explanation_pb2.Prediction
    explanations: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.Explanation]
    frames: FrameReport
    timings: Timings
    level: ExplanationLevel
    level_reason: str
    quality: _explanation_pb2.AnswerQuality
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., prediction: _Optional[_Union[_explanation_pb2.Prediction, _Mapping]] = ..., explanations: _Optional[_Iterable[_Union[_explanation_pb2.Explanation, _Mapping]]] = ..., frames: _Optional[_Union[FrameReport, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., level: _Optional[_Union[ExplanationLevel, str]] = ..., level_reason: _Optional[str] = ..., quality: _Optional[_Union[_explanation_pb2.AnswerQuality, _Mapping]] = ...) -> None: ...

class FrameReport(_message.Message):
    __slots__ = ("used", "timestamps", "effective_fps", "source_width", "source_height", "placement", "notes")
    USED_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_FPS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_WIDTH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    used: _containers.RepeatedScalarFieldContainer[int]
    timestamps: _containers.RepeatedScalarFieldContainer[float]
    effective_fps: float
    source_width: int
    source_height: int
    placement: Placement
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, used: _Optional[_Iterable[int]] = ..., timestamps: _Optional[_Iterable[float]] = ..., effective_fps: _Optional[float] = ..., source_width: _Optional[int] = ..., source_height: _Optional[int] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("left", "top", "width", "height", "frame_width", "frame_height")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAME_WIDTH_FIELD_NUMBER: _ClassVar[int]
    FRAME_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    left: float
    top: float
    width: float
    height: float
    frame_width: int
    frame_height: int
    def __init__(self, left: _Optional[float] = ..., top: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ..., frame_width: _Optional[int] = ..., frame_height: _Optional[int] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode", "queue", "transport", "forward", "encode", "total", "explain", "batch_size", "explain_together", "measure", "others_measure")
    DECODE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_TOGETHER_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_MEASURE_FIELD_NUMBER: _ClassVar[int]
    decode: float
    queue: float
    transport: float
    forward: float
    encode: float
    total: float
    explain: _containers.RepeatedScalarFieldContainer[float]
    batch_size: int
    explain_together: bool
    measure: _containers.RepeatedScalarFieldContainer[float]
    others_measure: float
    def __init__(self, decode: _Optional[float] = ..., queue: _Optional[float] = ..., transport: _Optional[float] = ..., forward: _Optional[float] = ..., encode: _Optional[float] = ..., total: _Optional[float] = ..., explain: _Optional[_Iterable[float]] = ..., batch_size: _Optional[int] = ..., explain_together: bool = ..., measure: _Optional[_Iterable[float]] = ..., others_measure: _Optional[float] = ...) -> None: ...
