"""`python -m handlers.importing`: imports a checkpoint as a model that can be served."""

import sys

from handlers.importing.checkpoint import main

sys.exit(main())
