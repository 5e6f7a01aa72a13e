from actionlens.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClassScore(_message.Message):
    __slots__ = ("index", "label", "logit", "probability")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    logit: float
    probability: float
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., logit: _Optional[float] = ..., probability: _Optional[float] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("top", "logits", "frame_logits")
    TOP_FIELD_NUMBER: _ClassVar[int]
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    FRAME_LOGITS_FIELD_NUMBER: _ClassVar[int]
    top: _containers.RepeatedCompositeFieldContainer[ClassScore]
    logits: _tensor_pb2.Tensor
    frame_logits: _tensor_pb2.Tensor
    def __init__(self, top: _Optional[_Iterable[_Union[ClassScore, _Mapping]]] = ..., logits: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., frame_logits: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("method", "target", "contrast", "saliency", "relevance_matrix", "frame_attribution", "evaluation", "quality", "provenance", "reading", "failure", "overlay", "curves", "notes", "measures", "arrays")
    class MeasuresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ArraysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _tensor_pb2.Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    SALIENCY_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_MATRIX_FIELD_NUMBER: _ClassVar[int]
    FRAME_ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    ARRAYS_FIELD_NUMBER: _ClassVar[int]
    method: str
    target: ClassScore
    contrast: ClassScore
    saliency: SaliencyVolume
    relevance_matrix: RelevanceMatrix
    frame_attribution: FrameAttribution
    evaluation: Evaluation
    quality: Quality
    provenance: Provenance
    reading: str
    failure: Failure
    overlay: Overlay
    curves: _containers.RepeatedCompositeFieldContainer[Curve]
    notes: _containers.RepeatedScalarFieldContainer[str]
    measures: _containers.ScalarMap[str, float]
    arrays: _containers.MessageMap[str, _tensor_pb2.Tensor]
    def __init__(self, method: _Optional[str] = ..., target: _Optional[_Union[ClassScore, _Mapping]] = ..., contrast: _Optional[_Union[ClassScore, _Mapping]] = ..., saliency: _Optional[_Union[SaliencyVolume, _Mapping]] = ..., relevance_matrix: _Optional[_Union[RelevanceMatrix, _Mapping]] = ..., frame_attribution: _Optional[_Union[FrameAttribution, _Mapping]] = ..., evaluation: _Optional[_Union[Evaluation, _Mapping]] = ..., quality: _Optional[_Union[Quality, _Mapping]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., reading: _Optional[str] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., overlay: _Optional[_Union[Overlay, _Mapping]] = ..., curves: _Optional[_Iterable[_Union[Curve, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., measures: _Optional[_Mapping[str, float]] = ..., arrays: _Optional[_Mapping[str, _tensor_pb2.Tensor]] = ...) -> None: ...

class Curve(_message.Message):
    __slots__ = ("name", "x_name", "x", "y", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    X_NAME_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    x_name: str
    x: _containers.RepeatedScalarFieldContainer[float]
    y: _containers.RepeatedScalarFieldContainer[float]
    unit: str
    def __init__(self, name: _Optional[str] = ..., x_name: _Optional[str] = ..., x: _Optional[_Iterable[float]] = ..., y: _Optional[_Iterable[float]] = ..., unit: _Optional[str] = ...) -> None: ...

class SaliencyVolume(_message.Message):
    __slots__ = ("values", "signed", "mask", "frame_positions", "layer", "undefined")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    FRAME_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    UNDEFINED_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensor
    signed: bool
    mask: _tensor_pb2.Tensor
    frame_positions: _containers.RepeatedScalarFieldContainer[float]
    layer: str
    undefined: str
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., signed: bool = ..., mask: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., frame_positions: _Optional[_Iterable[float]] = ..., layer: _Optional[str] = ..., undefined: _Optional[str] = ...) -> None: ...

class RelevanceMatrix(_message.Message):
    __slots__ = ("values", "frame_positions", "row_logits", "row_lengths", "average_length", "maximum_length", "undefined")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    FRAME_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    ROW_LOGITS_FIELD_NUMBER: _ClassVar[int]
    ROW_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_LENGTH_FIELD_NUMBER: _ClassVar[int]
    UNDEFINED_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensor
    frame_positions: _containers.RepeatedScalarFieldContainer[float]
    row_logits: _containers.RepeatedScalarFieldContainer[float]
    row_lengths: _containers.RepeatedScalarFieldContainer[int]
    average_length: float
    maximum_length: float
    undefined: str
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., frame_positions: _Optional[_Iterable[float]] = ..., row_logits: _Optional[_Iterable[float]] = ..., row_lengths: _Optional[_Iterable[int]] = ..., average_length: _Optional[float] = ..., maximum_length: _Optional[float] = ..., undefined: _Optional[str] = ...) -> None: ...

class FrameAttribution(_message.Message):
    __slots__ = ("values", "unit")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    values: _tensor_pb2.Tensor
    unit: str
    def __init__(self, values: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., unit: _Optional[str] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("rows", "curves", "label", "correct", "forwards")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CURVES_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    FORWARDS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[EvaluationRow]
    curves: _containers.RepeatedCompositeFieldContainer[EvaluationCurve]
    label: int
    correct: bool
    forwards: int
    def __init__(self, rows: _Optional[_Iterable[_Union[EvaluationRow, _Mapping]]] = ..., curves: _Optional[_Iterable[_Union[EvaluationCurve, _Mapping]]] = ..., label: _Optional[int] = ..., correct: bool = ..., forwards: _Optional[int] = ...) -> None: ...

class EvaluationRow(_message.Message):
    __slots__ = ("method", "measure", "value", "number", "left_out", "better", "unit", "baseline", "lacks")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    BETTER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    LACKS_FIELD_NUMBER: _ClassVar[int]
    method: str
    measure: str
    value: str
    number: float
    left_out: str
    better: str
    unit: str
    baseline: bool
    lacks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, method: _Optional[str] = ..., measure: _Optional[str] = ..., value: _Optional[str] = ..., number: _Optional[float] = ..., left_out: _Optional[str] = ..., better: _Optional[str] = ..., unit: _Optional[str] = ..., baseline: bool = ..., lacks: _Optional[_Iterable[str]] = ...) -> None: ...

class EvaluationCurve(_message.Message):
    __slots__ = ("method", "measure", "curve", "baseline")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    method: str
    measure: str
    curve: Curve
    baseline: bool
    def __init__(self, method: _Optional[str] = ..., measure: _Optional[str] = ..., curve: _Optional[_Union[Curve, _Mapping]] = ..., baseline: bool = ...) -> None: ...

class Quality(_message.Message):
    __slots__ = ("selected_positions", "motion_share", "conservation_defect", "frame_entropy", "insertion_deletion_gap", "gap_left_out", "agreement")
    SELECTED_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    MOTION_SHARE_FIELD_NUMBER: _ClassVar[int]
    CONSERVATION_DEFECT_FIELD_NUMBER: _ClassVar[int]
    FRAME_ENTROPY_FIELD_NUMBER: _ClassVar[int]
    INSERTION_DELETION_GAP_FIELD_NUMBER: _ClassVar[int]
    GAP_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    selected_positions: float
    motion_share: float
    conservation_defect: float
    frame_entropy: float
    insertion_deletion_gap: float
    gap_left_out: str
    agreement: float
    def __init__(self, selected_positions: _Optional[float] = ..., motion_share: _Optional[float] = ..., conservation_defect: _Optional[float] = ..., frame_entropy: _Optional[float] = ..., insertion_deletion_gap: _Optional[float] = ..., gap_left_out: _Optional[str] = ..., agreement: _Optional[float] = ...) -> None: ...

class AnswerQuality(_message.Message):
    __slots__ = ("agreement", "agreement_left_out")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    agreement: float
    agreement_left_out: str
    def __init__(self, agreement: _Optional[float] = ..., agreement_left_out: _Optional[str] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("model", "version", "weights_digest", "method", "parameters", "seed")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model: str
    version: str
    weights_digest: str
    method: str
    parameters: _struct_pb2.Struct
    seed: int
    def __init__(self, model: _Optional[str] = ..., version: _Optional[str] = ..., weights_digest: _Optional[str] = ..., method: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class Overlay(_message.Message):
    __slots__ = ("media_type", "data")
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    media_type: str
    data: bytes
    def __init__(self, media_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "message", "field", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    field: str
    reason: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
