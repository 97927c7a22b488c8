"""What the supporting systems bring, each against its controls, on scikit-learn's digits and synthetic data.

    python -m benchmarks.supporting orthogonal    what rotations alone, LoRA, biases and all weights gain and forget
    python -m benchmarks.supporting spline        F1 of calibrated scores beside the cut that was fitted for F1
    python -m benchmarks.supporting compression   recall@1 of large batches in equal time, with activations in few bits
    python -m benchmarks.supporting untrained     whether the score of untrained heads foretells their metric
    python -m benchmarks.supporting pruning       how many rotations can go, chosen by the metric, by size, by gates

Every command takes at most three minutes on one core and writes docs/supporting-NAME.csv. The data are parted anew for
every seed into fit, select and held-out; select chooses learning rates and steps, held-out is read once per arm and
seed. Figures are means over the seeds; the errors are standard errors of paired differences.
"""

import argparse
import os
from collections.abc import Callable, Mapping

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from benchmarks.supporting_adapters import orthogonal, pruning
from benchmarks.supporting_memory import compression
from benchmarks.supporting_scores import spline, untrained

COMMANDS: Mapping[str, Callable[[], None]] = {
    "pruning": pruning,
    "untrained": untrained,
    "compression": compression,
    "orthogonal": orthogonal,
    "spline": spline,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=sorted(COMMANDS))
    torch.set_num_threads(1)
    COMMANDS[parser.parse_args().system]()
