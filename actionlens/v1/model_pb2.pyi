from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("name", "version", "description", "architecture", "weights_digest", "labels", "input", "methods", "ready", "scores", "notes", "measures")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    description: str
    architecture: str
    weights_digest: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    input: ModelInput
    methods: _containers.RepeatedCompositeFieldContainer[MethodSupport]
    ready: bool
    scores: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    measures: _containers.RepeatedCompositeFieldContainer[MeasureSupport]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., architecture: _Optional[str] = ..., weights_digest: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., input: _Optional[_Union[ModelInput, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[MethodSupport, _Mapping]]] = ..., ready: bool = ..., scores: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ..., measures: _Optional[_Iterable[_Union[MeasureSupport, _Mapping]]] = ...) -> None: ...

class ModelInput(_message.Message):
    __slots__ = ("frames", "height", "width", "resize", "sampling", "stride", "most_frames", "color", "shorter", "windows", "fps")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    MOST_FRAMES_FIELD_NUMBER: _ClassVar[int]
    COLOR_FIELD_NUMBER: _ClassVar[int]
    SHORTER_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    frames: int
    height: int
    width: int
    resize: str
    sampling: str
    stride: int
    most_frames: int
    color: str
    shorter: int
    windows: int
    fps: float
    def __init__(self, frames: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., resize: _Optional[str] = ..., sampling: _Optional[str] = ..., stride: _Optional[int] = ..., most_frames: _Optional[int] = ..., color: _Optional[str] = ..., shorter: _Optional[int] = ..., windows: _Optional[int] = ..., fps: _Optional[float] = ...) -> None: ...

class MethodSupport(_message.Message):
    __slots__ = ("method", "supported", "reason", "parameters", "description", "job")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SUPPORTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    method: str
    supported: bool
    reason: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    description: str
    job: bool
    def __init__(self, method: _Optional[str] = ..., supported: bool = ..., reason: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., description: _Optional[str] = ..., job: bool = ...) -> None: ...

class MeasureSupport(_message.Message):
    __slots__ = ("measure", "supported", "reason", "parameters", "description", "source", "needs", "subject", "forwards")
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    SUPPORTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    FORWARDS_FIELD_NUMBER: _ClassVar[int]
    measure: str
    supported: bool
    reason: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    description: str
    source: str
    needs: _containers.RepeatedScalarFieldContainer[str]
    subject: str
    forwards: int
    def __init__(self, measure: _Optional[str] = ..., supported: bool = ..., reason: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., description: _Optional[str] = ..., source: _Optional[str] = ..., needs: _Optional[_Iterable[str]] = ..., subject: _Optional[str] = ..., forwards: _Optional[int] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "type", "default_value", "description", "minimum", "maximum", "above_minimum", "below_maximum", "choices", "most_entries", "whole", "fewest_entries")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    ABOVE_MINIMUM_FIELD_NUMBER: _ClassVar[int]
    BELOW_MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    MOST_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    FEWEST_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    default_value: str
    description: str
    minimum: float
    maximum: float
    above_minimum: bool
    below_maximum: bool
    choices: _containers.RepeatedScalarFieldContainer[str]
    most_entries: int
    whole: bool
    fewest_entries: int
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., default_value: _Optional[str] = ..., description: _Optional[str] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., above_minimum: bool = ..., below_maximum: bool = ..., choices: _Optional[_Iterable[str]] = ..., most_entries: _Optional[int] = ..., whole: bool = ..., fewest_entries: _Optional[int] = ...) -> None: ...
