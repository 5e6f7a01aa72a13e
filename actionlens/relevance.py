"""Relevance propagation for any torch module; needs the extra `worker`. See docs/relevance.md."""

from actionlens.extras import explained

try:
    from handlers.relevance import *  # noqa: F403
    from handlers.relevance import __all__ as __all__
except ModuleNotFoundError as error:
    raise explained(error) from error
