from actionlens.v1 import answer_pb2 as _answer_pb2
from actionlens.v1 import explanation_pb2 as _explanation_pb2
from actionlens.v1 import job_pb2 as _job_pb2
from actionlens.v1 import method_pb2 as _method_pb2
from actionlens.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ComputeRequest(_message.Message):
    __slots__ = ("compute", "describe", "advance", "plan")
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    DESCRIBE_FIELD_NUMBER: _ClassVar[int]
    ADVANCE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    compute: Compute
    describe: Describe
    advance: Advance
    plan: Plan
    def __init__(self, compute: _Optional[_Union[Compute, _Mapping]] = ..., describe: _Optional[_Union[Describe, _Mapping]] = ..., advance: _Optional[_Union[Advance, _Mapping]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ...) -> None: ...

class Compute(_message.Message):
    __slots__ = ("clip", "frames", "height", "width", "target", "methods", "output", "clip_file", "truth", "visible")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CLIP_FILE_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_FIELD_NUMBER: _ClassVar[int]
    clip: bytes
    frames: int
    height: int
    width: int
    target: _method_pb2.Target
    methods: _containers.RepeatedCompositeFieldContainer[_method_pb2.Method]
    output: _answer_pb2.OutputOptions
    clip_file: str
    truth: Truth
    visible: Rectangle
    def __init__(self, clip: _Optional[bytes] = ..., frames: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., target: _Optional[_Union[_method_pb2.Target, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[_method_pb2.Method, _Mapping]]] = ..., output: _Optional[_Union[_answer_pb2.OutputOptions, _Mapping]] = ..., clip_file: _Optional[str] = ..., truth: _Optional[_Union[Truth, _Mapping]] = ..., visible: _Optional[_Union[Rectangle, _Mapping]] = ...) -> None: ...

class Truth(_message.Message):
    __slots__ = ("label", "objects", "annotated", "exact", "segment")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    ANNOTATED_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    label: int
    objects: bytes
    annotated: _containers.RepeatedScalarFieldContainer[bool]
    exact: bool
    segment: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, label: _Optional[int] = ..., objects: _Optional[bytes] = ..., annotated: _Optional[_Iterable[bool]] = ..., exact: bool = ..., segment: _Optional[_Iterable[bool]] = ...) -> None: ...

class Rectangle(_message.Message):
    __slots__ = ("left", "top", "right", "bottom")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    left: int
    top: int
    right: int
    bottom: int
    def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., right: _Optional[int] = ..., bottom: _Optional[int] = ...) -> None: ...

class Advance(_message.Message):
    __slots__ = ("compute", "state", "budget_seconds", "seed", "result")
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    compute: Compute
    state: bytes
    budget_seconds: float
    seed: int
    result: bool
    def __init__(self, compute: _Optional[_Union[Compute, _Mapping]] = ..., state: _Optional[bytes] = ..., budget_seconds: _Optional[float] = ..., seed: _Optional[int] = ..., result: bool = ...) -> None: ...

class Advanced(_message.Message):
    __slots__ = ("state", "iteration", "iterations", "done", "objective")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITERATION_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    state: bytes
    iteration: int
    iterations: int
    done: bool
    objective: float
    def __init__(self, state: _Optional[bytes] = ..., iteration: _Optional[int] = ..., iterations: _Optional[int] = ..., done: bool = ..., objective: _Optional[float] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("evaluate", "frames")
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    evaluate: _method_pb2.Evaluate
    frames: int
    def __init__(self, evaluate: _Optional[_Union[_method_pb2.Evaluate, _Mapping]] = ..., frames: _Optional[int] = ...) -> None: ...

class Describe(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ComputeResponse(_message.Message):
    __slots__ = ("failure", "prediction", "explanations", "timings", "model", "advanced", "plan", "quality")
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATIONS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ADVANCED_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    failure: _explanation_pb2.Failure
    prediction: _explanation_pb2.Prediction
    explanations: _containers.RepeatedCompositeFieldContainer[_explanation_pb2.Explanation]
    timings: ComputeTimings
    model: _model_pb2.Model
    advanced: Advanced
    plan: _job_pb2.EvaluationPlan
    quality: _explanation_pb2.AnswerQuality
    def __init__(self, failure: _Optional[_Union[_explanation_pb2.Failure, _Mapping]] = ..., prediction: _Optional[_Union[_explanation_pb2.Prediction, _Mapping]] = ..., explanations: _Optional[_Iterable[_Union[_explanation_pb2.Explanation, _Mapping]]] = ..., timings: _Optional[_Union[ComputeTimings, _Mapping]] = ..., model: _Optional[_Union[_model_pb2.Model, _Mapping]] = ..., advanced: _Optional[_Union[Advanced, _Mapping]] = ..., plan: _Optional[_Union[_job_pb2.EvaluationPlan, _Mapping]] = ..., quality: _Optional[_Union[_explanation_pb2.AnswerQuality, _Mapping]] = ...) -> None: ...

class ComputeTimings(_message.Message):
    __slots__ = ("total", "forward", "explain", "encode", "batch_size", "started", "explain_together", "measure", "others_measure")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_TOGETHER_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    OTHERS_MEASURE_FIELD_NUMBER: _ClassVar[int]
    total: float
    forward: float
    explain: _containers.RepeatedScalarFieldContainer[float]
    encode: float
    batch_size: int
    started: float
    explain_together: bool
    measure: _containers.RepeatedScalarFieldContainer[float]
    others_measure: float
    def __init__(self, total: _Optional[float] = ..., forward: _Optional[float] = ..., explain: _Optional[_Iterable[float]] = ..., encode: _Optional[float] = ..., batch_size: _Optional[int] = ..., started: _Optional[float] = ..., explain_together: bool = ..., measure: _Optional[_Iterable[float]] = ..., others_measure: _Optional[float] = ...) -> None: ...
