"""Training of the bundled models on generated clips: training loops, evaluation, sample clip."""
