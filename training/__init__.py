"""Procedural training of the bundled model "motion-primitives": generator, training loop, evaluation, sample clip."""
