"""`python -m handlers.exporting`: exports a model with its explanations as one ONNX graph."""

import sys

from handlers.exporting.onnx_graph import main

sys.exit(main())
