"""Sets how torch's threads wait for each other; must be set before torch is imported."""

from __future__ import annotations

SHORT_SPIN = {"GOMP_SPINCOUNT": "1000"}
"""Environment. Without it, threads wait by spinning, for milliseconds. Whatever else runs on the machine, the service
and java among it, needs the cores too: then a thread spins away the time slice of the very one it waits for, and a
forward takes four times as long (measured). A short spin costs nothing where the cores are free."""
