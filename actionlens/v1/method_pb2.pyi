from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClassSelector(_message.Message):
    __slots__ = ("index", "label")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class Target(_message.Message):
    __slots__ = ("explained", "contrast")
    EXPLAINED_FIELD_NUMBER: _ClassVar[int]
    CONTRAST_FIELD_NUMBER: _ClassVar[int]
    explained: ClassSelector
    contrast: ClassSelector
    def __init__(self, explained: _Optional[_Union[ClassSelector, _Mapping]] = ..., contrast: _Optional[_Union[ClassSelector, _Mapping]] = ...) -> None: ...

class Method(_message.Message):
    __slots__ = ("grad_cam", "selective_relevance", "dtd", "clrp", "guided_backprop", "guided_grad_cam", "atr", "attention_rollout", "esv", "frame_shapley", "st_perturbation", "temporal_mask", "integrated_gradients", "gradient_shap", "occlusion", "shapley_sampling", "deep_lift", "evaluate")
    GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    SELECTIVE_RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    DTD_FIELD_NUMBER: _ClassVar[int]
    CLRP_FIELD_NUMBER: _ClassVar[int]
    GUIDED_BACKPROP_FIELD_NUMBER: _ClassVar[int]
    GUIDED_GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    ATR_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ESV_FIELD_NUMBER: _ClassVar[int]
    FRAME_SHAPLEY_FIELD_NUMBER: _ClassVar[int]
    ST_PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    TEMPORAL_MASK_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_SHAP_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    SHAPLEY_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    DEEP_LIFT_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    grad_cam: GradCam
    selective_relevance: SelectiveRelevance
    dtd: Dtd
    clrp: Clrp
    guided_backprop: GuidedBackprop
    guided_grad_cam: GuidedGradCam
    atr: Atr
    attention_rollout: AttentionRollout
    esv: Esv
    frame_shapley: FrameShapley
    st_perturbation: StPerturbation
    temporal_mask: TemporalMask
    integrated_gradients: IntegratedGradients
    gradient_shap: GradientShap
    occlusion: Occlusion
    shapley_sampling: ShapleySampling
    deep_lift: DeepLift
    evaluate: Evaluate
    def __init__(self, grad_cam: _Optional[_Union[GradCam, _Mapping]] = ..., selective_relevance: _Optional[_Union[SelectiveRelevance, _Mapping]] = ..., dtd: _Optional[_Union[Dtd, _Mapping]] = ..., clrp: _Optional[_Union[Clrp, _Mapping]] = ..., guided_backprop: _Optional[_Union[GuidedBackprop, _Mapping]] = ..., guided_grad_cam: _Optional[_Union[GuidedGradCam, _Mapping]] = ..., atr: _Optional[_Union[Atr, _Mapping]] = ..., attention_rollout: _Optional[_Union[AttentionRollout, _Mapping]] = ..., esv: _Optional[_Union[Esv, _Mapping]] = ..., frame_shapley: _Optional[_Union[FrameShapley, _Mapping]] = ..., st_perturbation: _Optional[_Union[StPerturbation, _Mapping]] = ..., temporal_mask: _Optional[_Union[TemporalMask, _Mapping]] = ..., integrated_gradients: _Optional[_Union[IntegratedGradients, _Mapping]] = ..., gradient_shap: _Optional[_Union[GradientShap, _Mapping]] = ..., occlusion: _Optional[_Union[Occlusion, _Mapping]] = ..., shapley_sampling: _Optional[_Union[ShapleySampling, _Mapping]] = ..., deep_lift: _Optional[_Union[DeepLift, _Mapping]] = ..., evaluate: _Optional[_Union[Evaluate, _Mapping]] = ...) -> None: ...

class Evaluate(_message.Message):
    __slots__ = ("methods", "measures", "correct_only", "min_score", "draws")
    METHODS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    CORRECT_ONLY_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    DRAWS_FIELD_NUMBER: _ClassVar[int]
    methods: _containers.RepeatedCompositeFieldContainer[Method]
    measures: _containers.RepeatedCompositeFieldContainer[Measure]
    correct_only: bool
    min_score: float
    draws: int
    def __init__(self, methods: _Optional[_Iterable[_Union[Method, _Mapping]]] = ..., measures: _Optional[_Iterable[_Union[Measure, _Mapping]]] = ..., correct_only: bool = ..., min_score: _Optional[float] = ..., draws: _Optional[int] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("name", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class GradCam(_message.Message):
    __slots__ = ("pool_time", "signed", "layer")
    POOL_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    pool_time: bool
    signed: bool
    layer: str
    def __init__(self, pool_time: bool = ..., signed: bool = ..., layer: _Optional[str] = ...) -> None: ...

class SelectiveRelevance(_message.Message):
    __slots__ = ("threshold", "signed", "peer", "base", "upsample")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    UPSAMPLE_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    signed: bool
    peer: bool
    base: str
    upsample: bool
    def __init__(self, threshold: _Optional[float] = ..., signed: bool = ..., peer: bool = ..., base: _Optional[str] = ..., upsample: bool = ...) -> None: ...

class Dtd(_message.Message):
    __slots__ = ("rule", "alpha", "beta", "gamma", "norm", "add")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    rule: str
    alpha: float
    beta: float
    gamma: float
    norm: str
    add: str
    def __init__(self, rule: _Optional[str] = ..., alpha: _Optional[float] = ..., beta: _Optional[float] = ..., gamma: _Optional[float] = ..., norm: _Optional[str] = ..., add: _Optional[str] = ...) -> None: ...

class Clrp(_message.Message):
    __slots__ = ("rectify", "norm", "add")
    RECTIFY_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    rectify: bool
    norm: str
    add: str
    def __init__(self, rectify: bool = ..., norm: _Optional[str] = ..., add: _Optional[str] = ...) -> None: ...

class GuidedBackprop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GuidedGradCam(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...

class Atr(_message.Message):
    __slots__ = ("relevance", "rectify", "share", "norm", "add", "blocks")
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    RECTIFY_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    relevance: str
    rectify: str
    share: float
    norm: str
    add: str
    blocks: bool
    def __init__(self, relevance: _Optional[str] = ..., rectify: _Optional[str] = ..., share: _Optional[float] = ..., norm: _Optional[str] = ..., add: _Optional[str] = ..., blocks: bool = ...) -> None: ...

class AttentionRollout(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Esv(_message.Message):
    __slots__ = ("exact_up_to", "samples", "iterations", "tolerance", "score")
    EXACT_UP_TO_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    exact_up_to: int
    samples: int
    iterations: int
    tolerance: float
    score: str
    def __init__(self, exact_up_to: _Optional[int] = ..., samples: _Optional[int] = ..., iterations: _Optional[int] = ..., tolerance: _Optional[float] = ..., score: _Optional[str] = ...) -> None: ...

class FrameShapley(_message.Message):
    __slots__ = ("absent", "elements", "exact_up_to", "iterations", "tolerance")
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    EXACT_UP_TO_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    absent: str
    elements: int
    exact_up_to: int
    iterations: int
    tolerance: float
    def __init__(self, absent: _Optional[str] = ..., elements: _Optional[int] = ..., exact_up_to: _Optional[int] = ..., iterations: _Optional[int] = ..., tolerance: _Optional[float] = ...) -> None: ...

class StPerturbation(_message.Message):
    __slots__ = ("areas", "mode", "variant", "perturbation", "iterations", "early_stop", "smoothing", "shape", "sufficient", "blur", "step", "sigma", "ranking", "growth")
    AREAS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOP_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    SUFFICIENT_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SIGMA_FIELD_NUMBER: _ClassVar[int]
    RANKING_FIELD_NUMBER: _ClassVar[int]
    GROWTH_FIELD_NUMBER: _ClassVar[int]
    areas: _containers.RepeatedScalarFieldContainer[float]
    mode: str
    variant: str
    perturbation: str
    iterations: int
    early_stop: bool
    smoothing: float
    shape: bool
    sufficient: float
    blur: float
    step: int
    sigma: float
    ranking: float
    growth: float
    def __init__(self, areas: _Optional[_Iterable[float]] = ..., mode: _Optional[str] = ..., variant: _Optional[str] = ..., perturbation: _Optional[str] = ..., iterations: _Optional[int] = ..., early_stop: bool = ..., smoothing: _Optional[float] = ..., shape: bool = ..., sufficient: _Optional[float] = ..., blur: _Optional[float] = ..., step: _Optional[int] = ..., sigma: _Optional[float] = ..., ranking: _Optional[float] = ..., growth: _Optional[float] = ...) -> None: ...

class TemporalMask(_message.Message):
    __slots__ = ("perturbation", "iterations", "sparsity", "smoothness", "power")
    PERTURBATION_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    SPARSITY_FIELD_NUMBER: _ClassVar[int]
    SMOOTHNESS_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    perturbation: str
    iterations: int
    sparsity: float
    smoothness: float
    power: float
    def __init__(self, perturbation: _Optional[str] = ..., iterations: _Optional[int] = ..., sparsity: _Optional[float] = ..., smoothness: _Optional[float] = ..., power: _Optional[float] = ...) -> None: ...

class IntegratedGradients(_message.Message):
    __slots__ = ("steps", "baseline")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    baseline: str
    def __init__(self, steps: _Optional[int] = ..., baseline: _Optional[str] = ...) -> None: ...

class GradientShap(_message.Message):
    __slots__ = ("samples", "noise", "baseline")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    samples: int
    noise: float
    baseline: str
    def __init__(self, samples: _Optional[int] = ..., noise: _Optional[float] = ..., baseline: _Optional[str] = ...) -> None: ...

class Occlusion(_message.Message):
    __slots__ = ("frames", "pixels", "baseline")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    frames: int
    pixels: int
    baseline: str
    def __init__(self, frames: _Optional[int] = ..., pixels: _Optional[int] = ..., baseline: _Optional[str] = ...) -> None: ...

class ShapleySampling(_message.Message):
    __slots__ = ("samples", "baseline")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    samples: int
    baseline: str
    def __init__(self, samples: _Optional[int] = ..., baseline: _Optional[str] = ...) -> None: ...

class DeepLift(_message.Message):
    __slots__ = ("baseline",)
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    baseline: str
    def __init__(self, baseline: _Optional[str] = ...) -> None: ...
