"""What a refused operation could be written as instead."""

from __future__ import annotations

NEAREST = (
    "known are Conv3d, Conv2d, Linear, BatchNorm, ReLU, SiLU, sigmoid gates, MaxPool, AvgPool, AdaptiveAvgPool, "
    "Dropout, Flatten, addition, concatenation, mean, reshaping, slicing and zero padding"
)

_SMOOTH = "use ReLU; smooth and gated activations have no conservative rule here. Grad-CAM and perturbation still work"
ALTERNATIVES = {
    name: _SMOOTH
    for name in (
        "gelu",
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
    "layernorm": "use batch norm",
    "layer_norm": "use batch norm",
    "groupnorm": "use batch norm",
    "group_norm": "use batch norm",
    "instancenorm3d": "use batch norm",
    "instance_norm": "use batch norm",
    "lstm": "use perturbation methods, or temporal convolutions",
    "gru": "use perturbation methods, or temporal convolutions",
    "convtranspose3d": "use a convolution",
    "adaptivemaxpool3d": "use AdaptiveAvgPool3d or MaxPool3d",
    "lppool3d": "use AvgPool3d or MaxPool3d",
    "multiheadattention": "attention has no relevance rule here; use attention rollout or perturbation",
    "scaled_dot_product_attention": "attention has no relevance rule here; use attention rollout or perturbation",
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
