"""Prometheus metrics of what predictions and explanations say, so that drift of a model's reasons can be seen."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary

from service.telemetry.buckets import CORRELATIONS, DEFECTS, FRAMES, GAPS, SHARES
from service.telemetry.records import AnswerRecord

CLASSES = 10
"""Classes per model that have series of their own; the rest is "other". A model may have hundreds, and series are
memory."""

_OTHER = "other"


class ExplanationMetrics:
    """Observes confidence by class, and the numbers of the explanations by method."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._classes: dict[str, set[str]] = {}
        self._confidence = Histogram(
            "actionlens_confidence", "Probability of the best class", ("model",), registry=registry, buckets=SHARES
        )
        self._by_class = Summary(
            "actionlens_class_confidence",
            f"The same by class: the first {CLASSES} classes that a model predicts, and other",
            ("model", "class"),
            registry=registry,
        )
        self._motion = Histogram(
            "actionlens_motion_share",
            "Share of the relevance that moves",
            ("model", "method"),
            registry=registry,
            buckets=SHARES,
        )
        self._length = Histogram(
            "actionlens_atr_frames",
            "Frames that an output step needs, by ATR: average and maximum over the steps of an answer",
            ("model", "statistic"),
            registry=registry,
            buckets=FRAMES,
        )
        self._defect = Histogram(
            "actionlens_conservation_defect",
            "1 - sum of the relevance over the explained logit",
            ("model", "method"),
            registry=registry,
            buckets=DEFECTS,
        )
        self._gap = Histogram(
            "actionlens_insertion_deletion_gap",
            "Area under insertion less that under deletion, where it is asked for; higher is better",
            ("model", "method"),
            registry=registry,
            buckets=GAPS,
        )
        self._agreement = Histogram(
            "actionlens_method_agreement",
            "Mean rank correlation over frames with the other explanations of the answer",
            ("model", "method"),
            registry=registry,
            buckets=CORRELATIONS,
        )
        self._failed = Counter(
            "actionlens_explanations_failed",
            "Explanations that an answer has only the reason of failure for",
            ("model", "method"),
            registry=registry,
        )

    def answered(self, record: AnswerRecord, exemplar: dict[str, str] | None) -> None:
        """Observe an answered clip or window. exemplar: the trace_id label that leads to its trace, if there is one."""
        model = record.model
        self._confidence.labels(model).observe(record.confidence, exemplar)
        self._by_class.labels(model, self._class(model, record.label)).observe(record.confidence)
        for entry in record.methods:
            # Made at the first answer, because a rate needs the zero before the first failure.
            self._failed.labels(model, entry.method).inc(entry.failed)
            if entry.motion_share is not None:
                self._motion.labels(model, entry.method).observe(entry.motion_share, exemplar)
            if entry.conservation_defect is not None:
                self._defect.labels(model, entry.method).observe(entry.conservation_defect, exemplar)
            if entry.insertion_deletion_gap is not None:
                self._gap.labels(model, entry.method).observe(entry.insertion_deletion_gap, exemplar)
            if entry.agreement is not None:
                self._agreement.labels(model, entry.method).observe(entry.agreement, exemplar)
            for statistic, length in (("average", entry.average_length), ("maximum", entry.maximum_length)):
                if length is not None:
                    self._length.labels(model, statistic).observe(length, exemplar)

    def forget(self) -> None:
        """Start counting anew."""
        self._classes.clear()
        for metric in (self._confidence, self._by_class, self._motion, self._length, self._defect, self._failed):
            metric.clear()
        for measure in (self._gap, self._agreement):
            measure.clear()

    def _class(self, model: str, label: str) -> str:
        known = self._classes.setdefault(model, set())
        if len(known) < CLASSES:
            known.add(label)
        return label if label in known else _OTHER
