"""Cost of learning a temporal mask: python -m benchmarks.temporal_masks [--iterations 300] [--threads 1]

One iteration of the freeze mask beside one forward and backward of the same clip, by the model's program, which the
mask uses, and by autograd through its module. The three take turns, iteration by iteration (A B C A B C ...), in one
process; totals of wall time and of the process's CPU time, which other work on the machine disturbs least. Every
iteration of the mask is a block of its own, so that preparing the clip counts each time; a job's blocks hold many.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from handlers.engine.smoke_test import noise
from handlers.explainers import Question, State, iterative
from handlers.explainers.attribution import Target
from handlers.malloc import keep_freed_memory
from handlers.models.action_model import ActionModel
from handlers.relevance.program import autograd_bridge as differentiable


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("model_store/motion-primitives"), help="a model's folder")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    wall, processor = measured(candidates(ActionModel.load(options.model), options.iterations), options.iterations)
    print(f"{options.model.name}, {options.iterations} iterations, {options.threads} threads")
    print(f"{'':34} {'wall s':>8} {'CPU s':>8} {'mask / this, wall':>18} {'CPU':>6}")
    mask = next(iter(wall))
    for name in wall:
        ratios = f"{wall[mask] / wall[name]:18.2f} {processor[mask] / processor[name]:6.2f}"
        print(f"{name:34} {wall[name]:8.1f} {processor[name]:8.1f} {ratios}")


def candidates(model: ActionModel, iterations: int) -> dict[str, Callable[[], object]]:
    """The timed functions by name, the mask first; each call is one iteration."""
    clip = noise(model.card)
    prepared = model.prepare([clip])
    logits = model.program.forward(prepared, relevance=False).logits[0]
    target = Target(int(logits.argmax()))
    method = iterative("temporal-mask")
    # Every round is one iteration, the warming ones too, and the scan for a start comes before.
    parameters = method.parameters(iterations=2 * iterations + 10)
    question = Question(model, clip, logits, target, parameters, 0)
    state: State = method.start(question)
    while not len(state.arrays["losses"]):
        state = method.advance(question, state, 0.0)

    def mask() -> None:
        nonlocal state
        state = method.advance(question, state, 0.0)

    def backward(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], object]:
        def run() -> object:
            leaf = prepared.clone().requires_grad_()
            return torch.autograd.grad(forward(leaf)[0, target.index], leaf)

        return run

    return {
        "mask": mask,
        "forward and backward, program": backward(lambda clips: differentiable.logits(model.program, clips)),
        "forward and backward, autograd": backward(model.module),
    }


def measured(runs: dict[str, Callable[[], object]], iterations: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of wall and of CPU time in all iterations, by name."""
    wall, processor = dict.fromkeys(runs, 0.0), dict.fromkeys(runs, 0.0)
    for round_index in range(-3, iterations):
        for name, run in runs.items():
            begun, worked = time.perf_counter(), time.process_time()
            run()
            if round_index >= 0:  # the first rounds warm up
                wall[name] += time.perf_counter() - begun
                processor[name] += time.process_time() - worked
    return wall, processor


if __name__ == "__main__":
    main()
