"""The papers' findings, obtained again: python -m benchmarks.findings."""
