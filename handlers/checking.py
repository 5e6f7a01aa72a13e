"""Loads a model as a worker would and says, as JSON, what works: `python -m handlers.checking --help`."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from actionlens.card import CARD_FILE, CardError, ModelCard, read_card
from actionlens.store import stored_models
from handlers.engine.block import advance
from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.engine.smoke_test import answer_noise, noise
from handlers.errors import ModelError, RequestError
from handlers.explainers import IterativeExplainer, methods
from handlers.explainers.attribution import Attribution

T = TypeVar("T")


@dataclass(frozen=True)
class CheckStep:
    """One check: whether it passed, and what was found or why it did not."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class MethodCheck:
    """Whether a method explains the model, shown on a clip of noise; reason: why not."""

    method: str
    supported: bool
    reason: str
    seconds: float


@dataclass
class Report:
    """All checks in order, up to the first that failed; methods only when all passed."""

    model: str
    steps: list[CheckStep] = field(default_factory=list)
    methods: list[MethodCheck] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the model can be served."""
        return all(step.passed for step in self.steps)


def check_model(folder: Path, *, trust_code: bool = False) -> Report:
    """Check a model's folder: the card, the digest of the weights, every tensor, one clip of noise, every method.

    trust_code: run the code of a network that brings its own; without it such a model fails.
    """
    report = Report(str(folder))

    def step(name: str, check: Callable[[], tuple[T, str]]) -> T | None:
        if not report.passed:
            return None
        try:
            value, detail = check()
        except (CardError, ModelError) as error:
            report.steps.append(CheckStep(name, False, str(error)))
            return None
        report.steps.append(CheckStep(name, True, detail))
        return value

    card = step("card", lambda: _read_card(folder))
    if card is not None:
        report.model = f"{card.name} {card.version}"
        step("digest", lambda: _digest(card, folder))
    engine = step("weights", lambda: _load(folder, trust_code))
    if engine is not None:
        step("canary", lambda: _canary(engine))
        if report.passed:
            report.methods = [check_method(engine, name) for name in methods()]
    return report


def _read_card(folder: Path) -> tuple[ModelCard, str]:
    card = read_card(folder)
    size = card.input
    return card, f"{card.architecture}, {len(card.labels)} classes, {size.frames} x {size.height} x {size.width}"


def _digest(card: ModelCard, folder: Path) -> tuple[None, str]:
    path = folder / card.weights.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.weights.sha256:
        raise ModelError(f"{path}: weights.sha256 is {digest}, the card says {card.weights.sha256}")
    return None, f"{path.name}, {len(data) / 1e6:.1f} MB, sha256 {digest[:16]}"


def _load(folder: Path, trust_code: bool) -> tuple[Engine, str]:
    start = time.perf_counter()
    engine = Engine.load(folder, threads=1, trust_code=trust_code)
    return engine, f"every tensor has its place; loaded in {time.perf_counter() - start:.1f} s"


def _canary(engine: Engine) -> tuple[None, str]:
    answer = answer_noise(engine)
    model = engine.model
    seen = f"one clip answered in {1000 * answer.forward_seconds:.0f} ms on one thread; it puts out {model.scores}"
    return None, "; ".join((seen, *model.notes))


def check_method(engine: Engine, name: str) -> MethodCheck:
    """Whether the method explains a clip of noise (of a job: whether its first block does)."""
    chosen = methods()[name]
    if reason := chosen.unsupported(engine.model):
        return MethodCheck(name, False, reason, 0.0)
    start = time.perf_counter()
    try:
        if isinstance(chosen, IterativeExplainer):
            block = advance(engine, ClipRequest(noise(engine.model.card), [MethodCall(name)]), b"", 0.0, 0, result=True)
            found: Attribution | RequestError | None = block.result
        else:
            found = answer_noise(engine, (MethodCall(name),)).explained[0].result
    except (ModelError, RequestError) as error:
        return MethodCheck(name, False, str(error), 0.0)
    seconds = time.perf_counter() - start
    if isinstance(found, RequestError):
        return MethodCheck(name, False, found.message, seconds)
    return MethodCheck(name, True, "", seconds)


def main(arguments: list[str] | None = None) -> int:
    """Command line: the report as JSON; 0 when the model can be served, 1 when not, 2 when there is no such model."""
    parser = argparse.ArgumentParser(prog="python -m handlers.checking", description=__doc__)
    parser.add_argument("model", help="a model's folder, or its name in a store")
    parser.add_argument(
        "--store", type=Path, required=True, action="append", help="a model store to look names up in; repeatable"
    )
    parser.add_argument("--trust-code", action="store_true", help="run the code of a network that brings its own")
    options = parser.parse_args(arguments)
    folder = Path(options.model)
    if not (folder / CARD_FILE).is_file():
        try:
            found = stored_models(options.store)
        except CardError as error:
            print(error, file=sys.stderr)
            return 2
        if options.model not in found:
            holds = f"{' and '.join(map(str, options.store))} holds {', '.join(found) or 'no model'}"
            print(f"{options.model}: no folder with a {CARD_FILE}, and {holds}", file=sys.stderr)
            return 2
        folder = found[options.model]
    report = check_model(folder, trust_code=options.trust_code)
    print(json.dumps({**asdict(report), "passed": report.passed}, ensure_ascii=False))
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
