"""The dashboard *What the model looks at*: shows what explanations say, and whether that changes."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.dashboards.overhead import MODEL, quantile, rate
from deploy.dashboards.panels import density, graph, make_dashboard


def mean(by: str, histogram: str, selector: str = MODEL) -> str:
    """The mean of what a histogram observed, by some labels."""
    return f"{rate(by, f'{histogram}_sum', selector)} / ({rate(by, f'{histogram}_count', selector)} > 0)"


def reasons() -> Dashboard:
    """Make the dashboard."""
    made = make_dashboard(
        "actionlens-reasons",
        "ActionLens: What the model looks at",
        "What predictions and explanations say over time. A model whose reasons change is being asked something else.",
    )
    for part in (_drift, _motion, _confidence, _trust):
        part(made)
    return made


def _drift(made: Dashboard) -> None:
    week = "avg_over_time({}[1w])".format
    motion, frames = "model_method:actionlens_motion_share:mean1h", "model_statistic:actionlens_atr_frames:mean1h"
    made.with_row(Row("This hour beside the week")).with_panel(
        graph(
            "Drift",
            "How many standard deviations of the last week this hour is away from the week's mean: motion share, ATR, "
            "confidence, conservation. Beyond 3 either way the clips have changed, or the model has.",
            "short",
            (f"actionlens:reason:drift1h{{{MODEL}}}", "{{model}} {{reason}} {{method}}{{statistic}}"),
            alert=3.0,
        )
    ).with_panel(
        graph(
            "Motion share beside the week",
            "This hour, and the week's mean.",
            "percentunit",
            (f"{motion}{{{MODEL}}}", "{{model}} {{method}}"),
            (week(f"{motion}{{{MODEL}}}"), "{{model}} {{method}}, week"),
        )
    ).with_panel(
        graph(
            "Frames needed, beside the week",
            "ATR's lengths this hour, and the week's mean.",
            "short",
            (f"{frames}{{{MODEL}}}", "{{model}} {{statistic}}"),
            (week(f"{frames}{{{MODEL}}}"), "{{model}} {{statistic}}, week"),
        )
    )


def _motion(made: Dashboard) -> None:
    made.with_row(Row("Motion and time")).with_panel(
        graph(
            "Motion share",
            "Share of the relevance that moves. Near 0 the model decides by the scene.",
            "percentunit",
            (mean("model, method", "actionlens_motion_share"), "{{model}} {{method}}"),
            width=6,
        )
    ).with_panel(
        density("Motion shares", "How many answers had which share.", "percentunit", "actionlens_motion_share", width=6)
    ).with_panel(
        graph(
            "Frames needed",
            "avg-ATR and max-ATR: the shortest run of frames that carries most of an output step's relevance. Near 1 "
            "the model looks at single frames.",
            "short",
            (mean("model, statistic", "actionlens_atr_frames"), "{{model}} {{statistic}}"),
            width=6,
        )
    ).with_panel(
        density(
            "avg-ATR",
            "How many answers needed how many frames.",
            "short",
            "actionlens_atr_frames",
            f'{MODEL}, statistic="average"',
            width=6,
        )
    )


def _confidence(made: Dashboard) -> None:
    made.with_row(Row("Predictions")).with_panel(
        graph(
            "Confidence by class",
            "Mean probability of the best class, by that class.",
            "percentunit",
            (mean("model, class", "actionlens_class_confidence"), "{{model}} {{class}}"),
        )
    ).with_panel(
        graph(
            "Predictions by class",
            "What the model sees, per second.",
            "ops",
            (rate("model, class", "actionlens_class_confidence_count"), "{{model}} {{class}}"),
            stacked=True,
        )
    ).with_panel(
        density("Confidences", "How many answers were how sure.", "percentunit", "actionlens_confidence"),
    )


def _trust(made: Dashboard) -> None:
    made.with_row(Row("Can the explanations be trusted?")).with_panel(
        graph(
            "Conservation defect",
            "What is missing from the relevance to add up to the logit: half of the maps, and the ends of the middle "
            "nine tenths. Rules that conserve keep it near 0.",
            "percentunit",
            (quantile(0.05, "model, method", "actionlens_conservation_defect"), "{{model}} {{method}} 5 %"),
            (quantile(0.5, "model, method", "actionlens_conservation_defect"), "{{model}} {{method}} half"),
            (quantile(0.95, "model, method", "actionlens_conservation_defect"), "{{model}} {{method}} 95 %"),
        )
    ).with_panel(
        graph(
            "Maps that do not add up",
            "Share of the maps whose defect is above a tenth, this hour.",
            "percentunit",
            (f"model_method:actionlens_conservation_defect:outside1h{{{MODEL}}}", "{{model}} {{method}}"),
            alert=0.2,
        )
    ).with_panel(
        graph(
            "Failed explanations",
            "Answers that have only a reason in the place of this method.",
            "ops",
            (rate("model, method", "actionlens_explanations_failed_total"), "{{model}} {{method}}"),
        )
    ).with_panel(
        graph(
            "Agreement of the methods",
            "Mean rank correlation over frames of each method's explanations with the others of the same answer: half "
            "of them, and the end of the lowest tenth. A method that agrees with none is to be doubted first.",
            "short",
            (quantile(0.1, "model, method", "actionlens_method_agreement"), "{{model}} {{method}} 10 %"),
            (quantile(0.5, "model, method", "actionlens_method_agreement"), "{{model}} {{method}} half"),
            width=12,
        )
    ).with_panel(
        graph(
            "Insertion-deletion gap",
            "Where it is asked for: how much more the class's probability rises as the clip is put back, most relevant "
            "patches first, than it keeps as they are taken out. Below 0 the map points away from what counts.",
            "short",
            (quantile(0.1, "model, method", "actionlens_insertion_deletion_gap"), "{{model}} {{method}} 10 %"),
            (quantile(0.5, "model, method", "actionlens_insertion_deletion_gap"), "{{model}} {{method}} half"),
            width=12,
        )
    )
