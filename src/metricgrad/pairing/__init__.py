"""From embeddings and labels to similarities, relevance and batches."""

from metricgrad.pairing.memory import MemoryQueue as MemoryQueue
from metricgrad.pairing.mixup import MixedBatch as MixedBatch
from metricgrad.pairing.mixup import mixed_loss as mixed_loss
from metricgrad.pairing.mixup import mixup_batch as mixup_batch
from metricgrad.pairing.relevance import has_positive as has_positive
from metricgrad.pairing.relevance import label_codes as label_codes
from metricgrad.pairing.relevance import positive_lists as positive_lists
from metricgrad.pairing.sampling import ClassBatchSampler as ClassBatchSampler
from metricgrad.pairing.similarity import unit_rows as unit_rows
from metricgrad.pairing.simix import SiMix as SiMix
from metricgrad.pairing.simix import VirtualRows as VirtualRows
from metricgrad.pairing.simix import mix_rows as mix_rows
from metricgrad.pairing.simix import mix_similarities as mix_similarities
from metricgrad.pairing.two_towers import TwoTowers as TwoTowers

__all__ = [
    "ClassBatchSampler",
    "MemoryQueue",
    "MixedBatch",
    "SiMix",
    "TwoTowers",
    "VirtualRows",
    "has_positive",
    "label_codes",
    "mix_rows",
    "mix_similarities",
    "mixed_loss",
    "mixup_batch",
    "positive_lists",
    "unit_rows",
]
