"""What is not searched for examples and tests: what needs packages that are not installed here."""

import sys
from importlib.util import find_spec
from pathlib import Path

collect_ignore = [] if find_spec("triton") else ["src/metricgrad/relax/kernels/triton_tile.py"]
if not find_spec("sentence_transformers"):
    collect_ignore += ["src/metricgrad/integrations/sentence_transformers.py"]
if Path(sys.prefix).name != ".venv-integrations":  # made and used by `scripts/test --integrations`
    collect_ignore += ["tests/integrations"]
