"""From embeddings and labels to similarities, relevance and batches."""

from metricgrad.pairing.relevance import has_positive as has_positive
from metricgrad.pairing.relevance import label_codes as label_codes
from metricgrad.pairing.relevance import positive_lists as positive_lists
from metricgrad.pairing.sampling import ClassBatchSampler as ClassBatchSampler
from metricgrad.pairing.similarity import unit_rows as unit_rows

__all__ = ["ClassBatchSampler", "has_positive", "label_codes", "positive_lists", "unit_rows"]
