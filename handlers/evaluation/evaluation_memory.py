"""What the evaluation of a clip remembers between two blocks: the explanations, and what was found so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from torch import Tensor

from handlers.evaluation.attribution_memory import curve_numbers, curve_of, packed, tensors, unpacked
from handlers.evaluation.measure import Better, Measured, Value
from handlers.explainers.attribution import Attribution, Curve

MAP_BYTES = 16 * 2**20
"""Most bytes of all explanations of a clip together: a state travels to the worker and back with every block."""

ARRAY_BYTES = 4 * 2**20
"""Most bytes of all arrays that the measures of a clip return together."""


@dataclass(frozen=True)
class Refused:
    """Why a measure says nothing as a whole. lacks: parts of the ground truth that it would need."""

    reason: str
    lacks: tuple[str, ...] = ()


Finding = Measured | Refused


@dataclass
class Memory:
    """explained: by the method's number; a text is the reason why there is none. found: by MeasureUnit.key.
    draws: of the random explanations of the measure in work. iterating: the state of the job method in work.
    left_out: why the whole clip is. forwards: clips that the measures put through the network.
    """

    explained: dict[int, Attribution | str] = field(default_factory=dict)
    found: dict[str, Finding] = field(default_factory=dict)
    draws: list[Finding] = field(default_factory=list)
    iterating: bytes = b""
    left_out: Refused | None = None
    forwards: int = 0

    def explain(self, number: int, found: Attribution | str) -> None:
        """Remember an explanation, unless it is too large; or why there is none."""
        if not isinstance(found, str):
            size = _bytes(found)
            if (held := sum(map(_bytes, self._maps().values()))) + size > MAP_BYTES:
                found = (
                    f"its explanation of {_megabytes(size)} does not fit beside the others of {_megabytes(held)}; an "
                    f"evaluation holds {_megabytes(MAP_BYTES)}: measure fewer methods at once"
                )
        self.explained[number] = found

    def find(self, key: str, finding: Finding) -> None:
        """Remember what a measure found."""
        if isinstance(finding, Measured) and finding.arrays:
            finding = self._bounded(finding)
        self.found[key] = finding

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Arrays and JSON values of a State."""
        arrays: dict[str, Tensor] = {}
        explained: dict[str, Any] = {}
        for number, attribution in self.explained.items():
            if isinstance(attribution, str):
                explained[str(number)] = attribution
                continue
            own, explained[str(number)] = packed(attribution)
            arrays |= {f"map/{number}/{name}": values for name, values in own.items()}
        for key, finding in self.found.items():
            if isinstance(finding, Measured):
                arrays |= {
                    f"found/{key}\n{name}": values.detach().clone().contiguous()
                    for name, values in finding.arrays.items()
                }
        return arrays, {
            "explained": explained,
            "found": {key: _numbers(finding) for key, finding in self.found.items()},
            "draws": [_numbers(finding) for finding in self.draws],
            "left_out": None if self.left_out is None else _numbers(self.left_out),
            "forwards": self.forwards,
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, Tensor], numbers: Mapping[str, Any], iterating: bytes) -> Memory:
        """What `pack` wrote."""
        memory = cls(iterating=iterating, forwards=numbers["forwards"])
        for number, entry in numbers["explained"].items():
            own = _below(arrays, f"map/{number}/")
            memory.explained[int(number)] = entry if isinstance(entry, str) else unpacked(own, entry)
        for key, entry in numbers["found"].items():
            memory.found[key] = _finding(entry, _below(arrays, f"found/{key}\n"))
        memory.draws = [_finding(entry, {}) for entry in numbers["draws"]]
        if numbers["left_out"] is not None:
            left_out = _finding(numbers["left_out"], {})
            memory.left_out = left_out if isinstance(left_out, Refused) else None
        return memory

    def _maps(self) -> dict[int, Attribution]:
        return {number: found for number, found in self.explained.items() if not isinstance(found, str)}

    def _bounded(self, measured: Measured) -> Measured:
        held = sum(
            values.nbytes
            for finding in self.found.values()
            if isinstance(finding, Measured)
            for values in finding.arrays.values()
        )
        kept: dict[str, Tensor] = {}
        left_out = dict(measured.left_out)
        for name, values in measured.arrays.items():
            if held + values.nbytes > ARRAY_BYTES:
                left_out[name] = f"the arrays of all measures of a clip are more than {_megabytes(ARRAY_BYTES)}"
                continue
            held += values.nbytes
            kept[name] = values
        return Measured(measured.values, left_out, measured.curves, kept)


def mean_of(findings: Sequence[Finding]) -> Finding:
    """The mean of several draws: of each number over those that have it, of each curve where x is the same."""
    measured = [finding for finding in findings if isinstance(finding, Measured)]
    if not measured:
        return findings[0]
    firsts: dict[str, Value] = {}
    for each in measured:
        for name, value in each.values.items():
            firsts.setdefault(name, value)
    numbers = {name: fmean(each.values[name].number for each in measured if name in each.values) for name in firsts}
    values = {name: replace(first, number=numbers[name]) for name, first in firsts.items()}
    left_out = {name: reason for each in measured for name, reason in each.left_out.items() if name not in firsts}
    curves = [_mean_curve([each.curves for each in measured], curve) for curve in measured[0].curves]
    return Measured(values, left_out, tuple(filter(None, curves)))


def _mean_curve(draws: Sequence[Sequence[Curve]], first: Curve) -> Curve | None:
    alike = [curve for curves in draws for curve in curves if curve.name == first.name]
    if any(curve.x != first.x for curve in alike):
        return None
    mean = tuple(fmean(values) for values in zip(*(curve.y for curve in alike), strict=True))
    return Curve(first.name, first.x_name, first.x, mean, first.unit)


def _numbers(finding: Finding) -> dict[str, Any]:
    if isinstance(finding, Refused):
        return {"reason": finding.reason, "lacks": list(finding.lacks)}
    return {
        "values": {name: [value.number, value.better, value.unit] for name, value in finding.values.items()},
        "left_out": dict(finding.left_out),
        "curves": [curve_numbers(curve) for curve in finding.curves],
    }


def _finding(numbers: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> Finding:
    if "reason" in numbers:
        return Refused(numbers["reason"], tuple(numbers["lacks"]))
    values = {name: Value(number, Better(better), unit) for name, (number, better, unit) in numbers["values"].items()}
    return Measured(values, numbers["left_out"], tuple(map(curve_of, numbers["curves"])), arrays)


def _below(arrays: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _bytes(attribution: Attribution) -> int:
    return sum(values.nbytes for values in tensors(attribution).values())


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
