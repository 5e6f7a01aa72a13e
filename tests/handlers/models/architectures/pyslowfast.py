"""Names and shapes of PySlowFast's tensors, all of a network's, as its model builder makes them. Test only."""

from __future__ import annotations

from collections.abc import Sequence

Shapes = dict[str, tuple[int, ...]]

_COUNTS = (3, 4, 6, 3)
_BETA = 8


def resnet(times: Sequence[int], classes: int = 400) -> Shapes:
    """SLOW_8x8_R50 or C2D_8x8_R50: times, of the first convolution of every stage's blocks."""
    found = _stem(0, 64, 1)
    inputs = 64
    for stage, (time, count) in enumerate(zip(times, _COUNTS, strict=True)):
        found |= _stage(0, stage, inputs, 64 << stage, count, time)
        inputs = 256 << stage
    return found | _linear("head.projection", inputs, classes)


def slowfast(classes: int = 400) -> Shapes:
    """SLOWFAST_8x8_R50."""
    found = _stem(0, 64, 1) | _stem(1, 64 // _BETA, 5)
    slow, fast = 64, 64 // _BETA
    for stage, (time, count) in enumerate(zip((1, 1, 3, 3), _COUNTS, strict=True)):
        found[f"s{stage + 1}_fuse.conv_f2s.weight"] = (2 * fast, fast, 7, 1, 1)
        found |= _norm(f"s{stage + 1}_fuse.bn", 2 * fast)
        found |= _stage(0, stage, slow + 2 * fast, 64 << stage, count, time)
        found |= _stage(1, stage, fast, (64 << stage) // _BETA, count, 3)
        slow, fast = 256 << stage, (256 << stage) // _BETA
    return found | _linear("head.projection", slow + fast, classes)


def x3d(classes: int = 400) -> Shapes:
    """X3D_XS, X3D_S and X3D_M."""
    found: Shapes = {
        "s1.pathway0_stem.conv_xy.weight": (24, 3, 1, 3, 3),
        "s1.pathway0_stem.conv.weight": (24, 1, 5, 1, 1),
        **_norm("s1.pathway0_stem.bn", 24),
    }
    inputs = 24
    for stage, (width, count, gate) in enumerate(
        zip((24, 48, 96, 192), (3, 5, 11, 7), (8, 8, 16, 32), strict=True), start=2
    ):
        inner = width * 9 // 4
        for number in range(count):
            at = f"s{stage}.pathway0_res{number}"
            found |= _shortcut(at, inputs, width, strides=number == 0)
            found[f"{at}.branch2.a.weight"] = (inner, inputs, 1, 1, 1)
            found[f"{at}.branch2.b.weight"] = (inner, 1, 3, 3, 3)
            found[f"{at}.branch2.c.weight"] = (width, inner, 1, 1, 1)
            found |= _norm(f"{at}.branch2.a_bn", inner) | _norm(f"{at}.branch2.b_bn", inner)
            found |= _norm(f"{at}.branch2.c_bn", width)
            if number % 2 == 0:
                found |= {f"{at}.branch2.se.fc1.weight": (gate, inner, 1, 1, 1), f"{at}.branch2.se.fc1.bias": (gate,)}
                found |= {f"{at}.branch2.se.fc2.weight": (inner, gate, 1, 1, 1), f"{at}.branch2.se.fc2.bias": (inner,)}
            inputs = width
    found |= {"head.conv_5.weight": (432, 192, 1, 1, 1), **_norm("head.conv_5_bn", 432)}
    return found | {"head.lin_5.weight": (2048, 432, 1, 1, 1)} | _linear("head.projection", 2048, classes)


def _stem(pathway: int, width: int, time: int) -> Shapes:
    at = f"s1.pathway{pathway}_stem"
    return {f"{at}.conv.weight": (width, 3, time, 7, 7), **_norm(f"{at}.bn", width)}


def _stage(pathway: int, stage: int, inputs: int, inner: int, count: int, time: int) -> Shapes:
    found: Shapes = {}
    for number in range(count):
        at = f"s{stage + 2}.pathway{pathway}_res{number}"
        found |= _shortcut(at, inputs, 4 * inner, strides=number == 0 and stage > 0)
        found[f"{at}.branch2.a.weight"] = (inner, inputs, time, 1, 1)
        found[f"{at}.branch2.b.weight"] = (inner, inner, 1, 3, 3)
        found[f"{at}.branch2.c.weight"] = (4 * inner, inner, 1, 1, 1)
        for letter, width in (("a", inner), ("b", inner), ("c", 4 * inner)):
            found |= _norm(f"{at}.branch2.{letter}_bn", width)
        inputs = 4 * inner
    return found


def _shortcut(at: str, inputs: int, outputs: int, strides: bool) -> Shapes:
    """A projection and its batch norm wherever width or size changes."""
    if inputs == outputs and not strides:
        return {}
    return {f"{at}.branch1.weight": (outputs, inputs, 1, 1, 1), **_norm(f"{at}.branch1_bn", outputs)}


def _norm(name: str, width: int) -> Shapes:
    parts: Shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return parts | {f"{name}.num_batches_tracked": ()}


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
