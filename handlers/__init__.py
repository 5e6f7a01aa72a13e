"""The torch side: everything that runs inside a worker, usable as a plain library."""
