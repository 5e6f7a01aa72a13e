"""Panels as the dashboards use them: a title, one sentence on how to read it, a unit, queries."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders.common import GraphThresholdsStyleConfig, StackingConfig
from grafana_foundation_sdk.builders.common import VizLegendOptions as Legend
from grafana_foundation_sdk.builders.common import VizTooltipOptions as Tooltip
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${source}")
HEIGHT = 8

Query = tuple[str, str]
"""An expression and the legend of its series."""


def make_dashboard(name: str, title: str, says: str) -> Dashboard:
    """Make an empty dashboard with the choice of the data source and of models."""
    models = (
        QueryVariable("model")
        .label("model")
        .query("label_values(actionlens_model_info, model)")
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(text="All", value="$__all"))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    return (
        Dashboard(title)
        .uid(name)
        .description(says)
        .tags(["actionlens"])
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("source").label("data source").type("prometheus"))
        .with_variable(models)
    )


def graph(
    title: str, says: str, unit: str, *queries: Query, width: int = 8, stacked: bool = False, alert: float | None = None
) -> Any:
    """Series over time. alert: a line at this value."""
    panel = (
        Graph()
        .fill_opacity(30 if stacked else 8)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            Legend()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(Tooltip().mode(common.TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(StackingConfig().mode(common.StackingMode.NORMAL)).min(0)
    if alert is not None:
        panel.thresholds(_thresholds(alert)).thresholds_style(
            GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED)
        )
    return _filled(panel, title, says, unit, queries, width)


def number(title: str, says: str, unit: str, *queries: Query, width: int = 4, alert: float | None = None) -> Any:
    """The last value of each series, large. alert: red from this value on."""
    panel = Stat().graph_mode(common.BigValueGraphMode.AREA)
    if alert is not None:
        panel.thresholds(_thresholds(alert))
    return _filled(panel, title, says, unit, queries, width)


def density(title: str, says: str, unit: str, histogram: str, selector: str = 'model=~"$model"', width: int = 8) -> Any:
    """Make a heatmap of a histogram's observations over time."""
    expression = f"sum by (le) (increase({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    panel = (
        Heatmap()
        .calculate(False)
        .y_axis(YAxisConfig().unit(unit))
        .show_tooltip()
        .color(HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis").steps(64))
    )
    query = _query("A", expression, "{{le}}").format(PromQueryFormat.HEATMAP)
    return _described(panel, title, says, width).with_target(query)


def _filled(panel: Any, title: str, says: str, unit: str, queries: tuple[Query, ...], width: int) -> Any:
    panel = _described(panel, title, says, width).unit(unit)
    for index, (expression, legend) in enumerate(queries):
        panel.with_target(_query("ABC"[index], expression, legend))
    return panel


def _described(panel: Any, title: str, says: str, width: int) -> Any:
    return panel.title(title).description(says).datasource(SOURCE).span(width).height(HEIGHT)


def _query(name: str, expression: str, legend: str) -> Dataquery:
    # Exemplars lead from a latency to the trace of one answer.
    traced = "_bucket" in expression
    return Dataquery().ref_id(name).expr(expression).legend_format(legend).exemplar(traced).range().datasource(SOURCE)


def _thresholds(alert: float) -> ThresholdsConfig:
    steps = [dashboard.Threshold(color="green", value=None), dashboard.Threshold(color="red", value=alert)]
    return ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
