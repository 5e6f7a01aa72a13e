from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PixelFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PIXEL_FORMAT_UNSPECIFIED: _ClassVar[PixelFormat]
    PIXEL_FORMAT_RGB: _ClassVar[PixelFormat]
    PIXEL_FORMAT_BGR: _ClassVar[PixelFormat]
    PIXEL_FORMAT_GRAY: _ClassVar[PixelFormat]
PIXEL_FORMAT_UNSPECIFIED: PixelFormat
PIXEL_FORMAT_RGB: PixelFormat
PIXEL_FORMAT_BGR: PixelFormat
PIXEL_FORMAT_GRAY: PixelFormat

class Clip(_message.Message):
    __slots__ = ("video", "frames", "raw")
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    video: bytes
    frames: EncodedFrames
    raw: RawFrames
    def __init__(self, video: _Optional[bytes] = ..., frames: _Optional[_Union[EncodedFrames, _Mapping]] = ..., raw: _Optional[_Union[RawFrames, _Mapping]] = ...) -> None: ...

class EncodedFrames(_message.Message):
    __slots__ = ("images", "fps", "timestamps")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedScalarFieldContainer[bytes]
    fps: float
    timestamps: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, images: _Optional[_Iterable[bytes]] = ..., fps: _Optional[float] = ..., timestamps: _Optional[_Iterable[float]] = ...) -> None: ...

class RawFrames(_message.Message):
    __slots__ = ("data", "count", "height", "width", "format", "fps", "timestamps")
    DATA_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    count: int
    height: int
    width: int
    format: PixelFormat
    fps: float
    timestamps: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, data: _Optional[bytes] = ..., count: _Optional[int] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., format: _Optional[_Union[PixelFormat, str]] = ..., fps: _Optional[float] = ..., timestamps: _Optional[_Iterable[float]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("uniform", "dense", "indices", "segments", "span", "rate")
    UNIFORM_FIELD_NUMBER: _ClassVar[int]
    DENSE_FIELD_NUMBER: _ClassVar[int]
    INDICES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    uniform: UniformSampling
    dense: DenseSampling
    indices: IndexSampling
    segments: SegmentSampling
    span: SpanSampling
    rate: RateSampling
    def __init__(self, uniform: _Optional[_Union[UniformSampling, _Mapping]] = ..., dense: _Optional[_Union[DenseSampling, _Mapping]] = ..., indices: _Optional[_Union[IndexSampling, _Mapping]] = ..., segments: _Optional[_Union[SegmentSampling, _Mapping]] = ..., span: _Optional[_Union[SpanSampling, _Mapping]] = ..., rate: _Optional[_Union[RateSampling, _Mapping]] = ...) -> None: ...

class UniformSampling(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class DenseSampling(_message.Message):
    __slots__ = ("stride", "start")
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    stride: int
    start: int
    def __init__(self, stride: _Optional[int] = ..., start: _Optional[int] = ...) -> None: ...

class IndexSampling(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class SegmentSampling(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class SpanSampling(_message.Message):
    __slots__ = ("stride", "start")
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    stride: int
    start: int
    def __init__(self, stride: _Optional[int] = ..., start: _Optional[int] = ...) -> None: ...

class RateSampling(_message.Message):
    __slots__ = ("fps", "start")
    FPS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    fps: float
    start: int
    def __init__(self, fps: _Optional[float] = ..., start: _Optional[int] = ...) -> None: ...
