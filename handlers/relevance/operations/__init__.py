"""The operations that the engine knows, one small class each."""
