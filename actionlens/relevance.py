"""Relevance propagation for any torch module; needs the extra `worker`. See docs/relevance.md."""

from actionlens.extras import needing

with needing("worker"):
    from handlers.relevance import *  # noqa: F403
    from handlers.relevance import __all__ as __all__
