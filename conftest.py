"""What is not searched for examples: modules of packages that are not installed here."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("triton") else ["src/metricgrad/relax/kernels/triton_tile.py"]
