"""What child processes get from this one, and whether they are alive.

Called by backends and jobs, which start them; knows nothing of what they do.
"""
