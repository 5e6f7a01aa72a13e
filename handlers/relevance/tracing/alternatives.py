"""Advice how to write a refused operation instead."""

from __future__ import annotations

NEAREST = (
    "known are Conv3d, Conv2d, Linear, BatchNorm, LayerNorm, ReLU, SiLU, GELU, sigmoid gates, "
    "scaled_dot_product_attention, MaxPool, AvgPool, AdaptiveAvgPool, Dropout, Flatten, addition, concatenation, mean, "
    "reshaping, slicing and zero padding"
)

_SMOOTH = "use ReLU, SiLU or GELU; this activation has no conservative rule here. Grad-CAM and perturbation still work"
ALTERNATIVES = {
    name: _SMOOTH
    for name in (
        "tanh",
        "hardswish",
        "hardsigmoid",
        "elu",
        "selu",
        "mish",
        "relu6",
        "leakyrelu",
        "leaky_relu",
        "prelu",
        "softplus",
    )
} | {
    "sigmoid": "use ReLU, or let it gate another tensor (x * sigmoid(y)); behind the logits leave it to the caller",
    "softmax": "return logits and leave softmax to the caller",
    "log_softmax": "return logits and leave log_softmax to the caller",
    "groupnorm": "use batch norm",
    "group_norm": "use batch norm",
    "instancenorm3d": "use batch norm",
    "instance_norm": "use batch norm",
    "lstm": "use perturbation methods, or temporal convolutions",
    "gru": "use perturbation methods, or temporal convolutions",
    "convtranspose3d": "use a convolution",
    "adaptivemaxpool3d": "use AdaptiveAvgPool3d or MaxPool3d",
    "lppool3d": "use AvgPool3d or MaxPool3d",
    "multiheadattention": "write it with torch.nn.functional.scaled_dot_product_attention",
    "interpolate": "resize the clip before the model",
    "upsample": "resize the clip before the model",
    "split": "write the parts as slices",
    "chunk": "write the parts as slices",
    "stack": "use torch.cat",
    "sum": "use mean",
    "max": "use max_pool3d",
    "amax": "use max_pool3d",
    "roll": "write the shift as slices and torch.cat with zero padding",
}
