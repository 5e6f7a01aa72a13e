"""The dashboard *Overhead*: the cost of explaining beside predicting, and whether the machine bears it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.dashboards.panels import density, graph, make_dashboard, number

MODEL = 'model=~"$model"'


def quantile(share: float, by: str, histogram: str, selector: str = MODEL) -> str:
    """A quantile of a histogram by some labels."""
    rate = f"sum by ({by}, le) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rate})"


def rate(by: str, counter: str, selector: str = MODEL) -> str:
    """Events per second by some labels."""
    return f"sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))"


def overhead() -> Dashboard:
    """Make the dashboard."""
    made = make_dashboard(
        "actionlens-overhead", "ActionLens: Overhead", "What explaining costs beside predicting, where the time goes."
    )
    for part in (_price, _latency, _streams, _machine, _jobs):
        part(made)
    return made


def _price(made: Dashboard) -> None:
    made.with_row(Row("What explaining adds")).with_panel(
        graph(
            "A method, beside one prediction",
            "Time of one explanation over the time of the prediction whose forward it shares: 50 % makes an answer "
            "half as expensive again.",
            "percentunit",
            (f"model_method:actionlens_overhead:mean5m{{{MODEL}}}", "{{model}} {{method}}"),
            width=10,
        )
    ).with_panel(
        number(
            "All explaining over all predicting",
            "With the windows that got no explanation. This is the share of the bill.",
            "percentunit",
            (f"model:actionlens_overhead:ratio5m{{{MODEL}}}", "{{model}}"),
        )
    ).with_panel(
        number(
            "Overhead, of what budgets allow",
            "Over streams with an overhead budget; 100 % uses it up.",
            "percentunit",
            (f"model:actionlens_budget_overhead:ratio5m{{{MODEL}}}", "{{model}}"),
            width=5,
            alert=1.2,
        )
    ).with_panel(
        number(
            "Later than budgets allow",
            "Share of the windows of streams with a latency budget.",
            "percentunit",
            (f"model:actionlens_budget_late:share5m{{{MODEL}}}", "{{model}}"),
            width=5,
            alert=0.2,
        )
    )


def _latency(made: Dashboard) -> None:
    made.with_row(Row("Where the time goes")).with_panel(
        graph(
            "An answer, by stage",
            "Mean time of every stage; together they are an answer. explain is all methods together.",
            "s",
            (f"model_stage:actionlens_stage_seconds:mean5m{{{MODEL}}}", "{{model}} {{stage}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Slow stages",
            "95 % of the answers need less than this in the stage.",
            "s",
            (quantile(0.95, "stage", "actionlens_stage_seconds"), "{{stage}}"),
        )
    ).with_panel(
        graph(
            "Slow explanations",
            "95 % of the explanations by the method take less than this.",
            "s",
            (quantile(0.95, "method", "actionlens_stage_seconds", f'{MODEL}, stage="explain"'), "{{method}}"),
        )
    ).with_panel(
        graph(
            "Lag of live answers",
            "From the arrival of a window's newest frame to its answer. Points lead to traces.",
            "s",
            (quantile(0.5, "model", "actionlens_stream_lag_seconds"), "{{model}} half"),
            (quantile(0.95, "model", "actionlens_stream_lag_seconds"), "{{model}} 95 %"),
            alert=1.0,
        )
    ).with_panel(density("Lags", "How many answers took how long.", "s", "actionlens_stream_lag_seconds")).with_panel(
        graph(
            "Answers to single clips",
            "From a clip's arrival to its answer.",
            "s",
            (quantile(0.5, "model", "actionlens_request_seconds"), "{{model}} half"),
            (quantile(0.95, "model", "actionlens_request_seconds"), "{{model}} 95 %"),
        )
    )


def _streams(made: Dashboard) -> None:
    made.with_row(Row("What streams get")).with_panel(
        graph(
            "Windows by level",
            "Budgets lower the level, and every answer says so.",
            "ops",
            (rate("level", "actionlens_windows_total"), "{{level}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Frames by what became of them",
            "dropped_stale: a newer window was answered instead. dropped_full: decoding was too slow.",
            "ops",
            ("sum by (outcome) (rate(actionlens_frames_total[$__rate_interval]))", "{{outcome}}"),
            stacked=True,
        )
    ).with_panel(
        graph(
            "Windows without an answer",
            "Live streams skip windows when the workers are behind.",
            "ops",
            (rate("model", "actionlens_windows_skipped_total"), "{{model}}"),
            width=5,
        )
    ).with_panel(
        number("Open streams", "Now.", "short", ("sum(actionlens_streams)", "streams"), width=3),
    )


def _machine(made: Dashboard) -> None:
    made.with_row(Row("Saturation")).with_panel(
        graph(
            "At the backend",
            "When in flight meets capacity, clips wait; when many wait, clients are refused.",
            "short",
            ("actionlens_backend_in_flight", "in flight"),
            ("actionlens_backend_queue_depth", "waiting"),
            ("actionlens_backend_capacity", "capacity"),
        )
    ).with_panel(
        graph(
            "Processor time and memory of the service",
            "Its own process, without workers.",
            "short",
            ("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}} cores"),
            ("process_resident_memory_bytes / 2^30", "{{job}} GiB"),
        )
    ).with_panel(
        graph(
            "Worker restarts in 15 minutes",
            "Of workers that answer, and of workers that compute jobs.",
            "short",
            ("increase(actionlens_worker_restarts_total[15m])", "live"),
            ("increase(actionlens_job_worker_restarts_total[15m])", "jobs"),
            alert=2.0,
        )
    ).with_panel(
        graph(
            "Calls by status",
            "INTERNAL is a bug, with a number in the log; UNAVAILABLE means workers or shutdown.",
            "reqps",
            ("sum by (grpc_code) (rate(grpc_server_handled_total[$__rate_interval]))", "{{grpc_code}}"),
            stacked=True,
            width=12,
        )
    ).with_panel(
        graph(
            "Failed calls",
            "Share of the calls that fail through no fault of the client.",
            "percentunit",
            ("job:grpc_server_failed:share5m", "{{job}}"),
            width=12,
            alert=0.05,
        )
    )


def _jobs(made: Dashboard) -> None:
    made.with_row(Row("Jobs")).with_panel(
        graph("Jobs by state", "All that are kept.", "short", ("sum by (state) (actionlens_jobs)", "{{state}}"))
    ).with_panel(
        graph(
            "Oldest waiting job",
            "By band. Live traffic goes first, so this grows while the machine is busy.",
            "s",
            ("max by (band) (actionlens_job_oldest_queued_seconds)", "{{band}}"),
            alert=900.0,
        )
    ).with_panel(
        graph(
            "Time of a block",
            "Half and 95 % of the blocks of all jobs that are kept; a cancel takes so long.",
            "s",
            ("histogram_quantile(0.5, sum by (le) (actionlens_job_block_seconds_bucket))", "half"),
            ("histogram_quantile(0.95, sum by (le) (actionlens_job_block_seconds_bucket))", "95 %"),
        )
    )
