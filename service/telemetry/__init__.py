"""Metrics, traces and logs of the service.

In: records of answers, frames and calls (records). Out: Prometheus metrics and their text (metrics), OpenTelemetry
spans (spans, span_export), structured logs (log). Called by every part that serves; the gateway hands the text to
scrapers.
The histogram of explain seconds is actionlens_stage_seconds with the stage "explain", in metrics.
"""
