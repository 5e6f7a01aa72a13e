"""A live view of a stream outside the browser: on a terminal, or in a window."""
