"""What explaining costs, in units of one plain forward F of the same network: the table and plot in results/.

    PYTHONPATH=. python -m benchmarks.relevance [--networks "small 16f,I3D 8f"] [--rounds 2] [--threads 1]

All candidates take turns in one process (A B C A B C ...); ratios are of medians. With one thread the clock is
the process's CPU time, which other work on the machine disturbs least; with more it is wall time. Captum and zennit
are called as their users would call them: a prediction, then their method. The naive temporal relevance (two zennit
passes per frame) is one measured pass times 2 N, and labelled so.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

from benchmarks.networks import NETWORKS, network
from handlers.relevance import Rules, relevance, temporal_relevance, trace
from handlers.relevance.memory import keep_freed_memory

RESULTS = Path(__file__).parent / "results"
RULES = Rules(low=(-2.0,) * 3, high=(2.0,) * 3)
COLUMNS = (
    "engine forward",
    "Grad-CAM: Captum",
    "Grad-CAM: here",
    "DTD: zennit",
    "DTD: Captum",
    "DTD: here",
    "ATR naive, 2N zennit passes (extrapolated)",
    "ATR: here",
    "CLRP ATR element: here",
    "everything live",
)


def zennit_pass(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """Relevance of class 0 by zennit: zB at the clip, z+ below, batch norm passes."""
    if "torchvision" not in sys.modules:
        vision, models, resnet = (
            types.ModuleType(n) for n in ("torchvision", "torchvision.models", "torchvision.models.resnet")
        )
        resnet.Bottleneck, resnet.BasicBlock = type("Bottleneck", (), {}), type("BasicBlock", (), {})  # type: ignore[attr-defined]
        sys.modules |= {m.__name__: m for m in (vision, models, resnet)}
    import zennit.core
    import zennit.rules as rule

    def rule_of(ctx: dict[str, Any], name: str, module: nn.Module) -> Any:
        if isinstance(module, nn.Conv3d) and module.in_channels == 3:
            return rule.ZBox(-2.0, 2.0, zero_params="bias")
        if isinstance(module, nn.Conv3d | nn.Linear):
            return rule.ZPlus(zero_params="bias")
        return rule.Pass() if isinstance(module, nn.BatchNorm3d | nn.ReLU | nn.Dropout) else None

    def run(clip: Tensor) -> Tensor:
        x = clip.clone().requires_grad_(True)
        with torch.enable_grad(), zennit.core.Composite(rule_of).context(net) as modified:
            output = modified(x)
            start = torch.zeros_like(output)
            start[:, 0] = output[:, 0].detach()
            return torch.autograd.grad(output, x, start)[0]

    return run


def captum_pass(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """Relevance of class 0 by Captum's LRP, with rules set by hand for the layers that it does not know."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, IdentityRule

    def run(clip: Tensor) -> Tensor:
        for module in net.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                module.rule = Alpha1_Beta0_Rule()  # type: ignore[assignment]
            elif isinstance(module, nn.BatchNorm3d):
                module.rule = IdentityRule()  # type: ignore[assignment]
            elif isinstance(module, nn.Identity | nn.Flatten):
                module.rule = EpsilonRule()  # type: ignore[assignment]
        with torch.enable_grad():
            result: Tensor = LRP(net).attribute(clip.clone(), target=0)
        return result

    return run


def candidates(name: str, net: nn.Module, clip: Tensor, slow: bool) -> dict[str, Callable[[], object]]:
    """Everything that is timed on one network, by column."""
    from captum.attr import LayerGradCam

    program = trace(net, RULES)
    layer = [n for n in program.layers if "." not in n][-2 if name != "C3D" else -9]
    cam = LayerGradCam(lambda x: net(x), net.get_submodule(layer))
    one = torch.zeros((1, program.forward(clip).logits.shape[1]))
    one[:, 0] = 1.0

    def grad_cam(forward: Any) -> Tensor:
        weights = forward.gradient(layer, one).mean((3, 4), keepdim=True)
        return torch.relu((weights * forward.activation(layer)).sum(1))

    def captum_cam() -> object:
        with torch.enable_grad():
            return net(clip), cam.attribute(clip.clone(), target=0)

    def live() -> object:
        forward = program.forward(clip, keep=[layer])
        return grad_cam(forward), relevance(forward, 0), temporal_relevance(forward, 0)

    found: dict[str, Callable[[], object]] = {
        "engine forward": lambda: program.forward(clip, relevance=False),
        "Grad-CAM: Captum": captum_cam,
        "Grad-CAM: here": lambda: grad_cam(program.forward(clip, keep=[layer], relevance=False)),
        "DTD: here": lambda: relevance(program.forward(clip), 0),
    }
    if slow:
        found["DTD: zennit"] = lambda: zennit_pass(net)(clip)
        found["DTD: Captum"] = lambda: captum_pass(net)(clip)
    if name != "C3D":
        found["ATR: here"] = lambda: temporal_relevance(program.forward(clip), 0)
        found["everything live"] = live
        if slow:
            found["CLRP ATR element: here"] = lambda: temporal_relevance(program.forward(clip), 0, "negated", "element")
    return found


def measured(name: str, rounds: int, threads: int, slow: bool) -> tuple[float, dict[str, float | str]]:
    """(F in seconds, column -> multiple of F or why there is none)."""
    clock = time.process_time if threads == 1 else time.perf_counter
    net, clip = network(name)
    runs = candidates(name, net, clip, slow)
    times: dict[str, list[float]] = {column: [] for column in runs}
    plain: list[float] = []
    failed: dict[str, float | str] = {}
    for number in range(rounds + 1):  # the first round warms up
        started = clock()
        with torch.no_grad():
            net(clip)
        plain.append(clock() - started)
        for column, run in runs.items():
            if column in failed:
                continue
            started = clock()
            try:
                run()
            except Exception as error:
                failed[column] = f"fails: {type(error).__name__}"
                continue
            times[column].append(clock() - started)
        if number == 0:
            plain.clear()
            for column in times:
                times[column].clear()
    base = median(plain)
    found: dict[str, float | str] = (
        {"rounds": float(rounds)} | failed | {c: median(t) / base for c, t in times.items() if t}
    )
    if isinstance(found.get("DTD: zennit"), float) and name != "C3D":
        found["ATR naive, 2N zennit passes (extrapolated)"] = 2 * clip.shape[2] * float(found["DTD: zennit"])
    return base, found


def main() -> None:
    """Measure, write results/relevance.md and results/relevance.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--others", default="small 16f,I3D 8f", help="networks on which zennit and `element` are timed")
    parser.add_argument(
        "--note", default="", help="a sentence for the table: what else ran on the machine, for example"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    kept = keep_freed_memory()
    rows = stored()
    for name in filter(None, options.networks.split(",")):  # none named: only write again what is stored
        started = time.perf_counter()
        rows[name] = measured(name, options.rounds, options.threads, name in options.others.split(","))
        print(
            f"{name}: {time.perf_counter() - started:.0f} s",
            {k: v if isinstance(v, str) else round(v, 2) for k, v in rows[name][1].items()},
            flush=True,
        )
        write(rows, options, kept)
    write(rows, options, kept)


def stored() -> dict[str, tuple[float, dict[str, float | str]]]:
    """What earlier runs measured; a run replaces the networks that it names."""
    path = RESULTS / "relevance.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: (found[name]["seconds"], found[name]["multiples"]) for name in NETWORKS if name in found}


def write(rows: dict[str, tuple[float, dict[str, float | str]]], options: argparse.Namespace, kept: bool) -> None:
    """The table and the plot."""
    rows = {name: rows[name] for name in NETWORKS if name in rows}
    clock = "CPU time, one thread" if options.threads == 1 else f"wall time, {options.threads} threads"
    memory = "freed memory kept (`keep_freed_memory`)" if kept else "default memory settings"
    lines = [
        "# Cost of explanations",
        "",
        "Multiples of one plain eager float32 forward F of the same network, prediction included; 112 px, random "
        f"weights; {clock}; medians of interleaved rounds; torch {torch.__version__}; {memory}.",
        "Captum's LRP runs with rules set by hand and is not right on residual networks; it is timed, not endorsed.",
        '"everything live" is Grad-CAM, DTD and exact ATR (frame sums) from one forward, without the selective filter.',
        *([options.note] if options.note else []),
        "bf16 relevance was not measured: this machine has neither AMX nor AVX512_BF16.",
        "",
        "| | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
        "| F, ms | " + " | ".join(f"{base * 1e3:.0f}" for base, _ in rows.values()) + " |",
    ]
    counts = [found.get("rounds", "") for _, found in rows.values()]
    lines.append("| rounds | " + " | ".join(c if isinstance(c, str) else f"{c:.0f}" for c in counts) + " |")
    for column in COLUMNS:
        cells = [found.get(column, "") for _, found in rows.values()]
        lines.append(f"| {column} | " + " | ".join(c if isinstance(c, str) else f"{c:.2f}" for c in cells) + " |")
    RESULTS.mkdir(exist_ok=True)
    document = {name: {"seconds": base, "multiples": found} for name, (base, found) in rows.items()}
    (RESULTS / "relevance.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "relevance.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for column in (
        "DTD: here",
        "ATR: here",
        "everything live",
        "CLRP ATR element: here",
        "ATR naive, 2N zennit passes (extrapolated)",
    ):
        points = sorted(
            (NETWORKS[n][1], f[column])
            for n, (_, f) in rows.items()
            if n.startswith("I3D") and isinstance(f.get(column), float)
        )
        if points:
            axes.plot([p[0] for p in points], [float(p[1]) for p in points], marker="o", label=column)
    axes.set(xlabel="frames (I3D-R50, 112 px)", ylabel="cost / one plain forward", yscale="log", xticks=[8, 16, 32])
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(RESULTS / "relevance.png", dpi=120)


if __name__ == "__main__":
    main()
