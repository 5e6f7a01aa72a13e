from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
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
    __slots__ = ("grad_cam", "selective_relevance", "dtd", "clrp", "guided_backprop", "guided_grad_cam", "atr")
    GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    SELECTIVE_RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    DTD_FIELD_NUMBER: _ClassVar[int]
    CLRP_FIELD_NUMBER: _ClassVar[int]
    GUIDED_BACKPROP_FIELD_NUMBER: _ClassVar[int]
    GUIDED_GRAD_CAM_FIELD_NUMBER: _ClassVar[int]
    ATR_FIELD_NUMBER: _ClassVar[int]
    grad_cam: GradCam
    selective_relevance: SelectiveRelevance
    dtd: Dtd
    clrp: Clrp
    guided_backprop: GuidedBackprop
    guided_grad_cam: GuidedGradCam
    atr: Atr
    def __init__(self, grad_cam: _Optional[_Union[GradCam, _Mapping]] = ..., selective_relevance: _Optional[_Union[SelectiveRelevance, _Mapping]] = ..., dtd: _Optional[_Union[Dtd, _Mapping]] = ..., clrp: _Optional[_Union[Clrp, _Mapping]] = ..., guided_backprop: _Optional[_Union[GuidedBackprop, _Mapping]] = ..., guided_grad_cam: _Optional[_Union[GuidedGradCam, _Mapping]] = ..., atr: _Optional[_Union[Atr, _Mapping]] = ...) -> None: ...

class GradCam(_message.Message):
    __slots__ = ("pool_time", "signed", "layer")
    POOL_TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    LAYER_FIELD_NUMBER: _ClassVar[int]
    pool_time: bool
    signed: bool
    layer: str
    def __init__(self, pool_time: _Optional[bool] = ..., signed: _Optional[bool] = ..., layer: _Optional[str] = ...) -> None: ...

class SelectiveRelevance(_message.Message):
    __slots__ = ("threshold", "signed", "peer", "base")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    threshold: float
    signed: bool
    peer: bool
    base: str
    def __init__(self, threshold: _Optional[float] = ..., signed: _Optional[bool] = ..., peer: _Optional[bool] = ..., base: _Optional[str] = ...) -> None: ...

class Dtd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Clrp(_message.Message):
    __slots__ = ("rectify",)
    RECTIFY_FIELD_NUMBER: _ClassVar[int]
    rectify: bool
    def __init__(self, rectify: _Optional[bool] = ...) -> None: ...

class GuidedBackprop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GuidedGradCam(_message.Message):
    __slots__ = ("layer",)
    LAYER_FIELD_NUMBER: _ClassVar[int]
    layer: str
    def __init__(self, layer: _Optional[str] = ...) -> None: ...

class Atr(_message.Message):
    __slots__ = ("relevance", "rectify", "share")
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    RECTIFY_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    relevance: str
    rectify: str
    share: float
    def __init__(self, relevance: _Optional[str] = ..., rectify: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...
