"""Clips in, pictures out: decoding within limits, and drawing explanations. Synchronous; run it on a thread pool."""
