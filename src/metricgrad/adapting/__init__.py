"""Adapters on frozen embeddings: closed forms first, then a loss, then the claim."""

from metricgrad.adapting.adapted import Adapted as Adapted
from metricgrad.adapting.contenders import Training as Training
from metricgrad.adapting.embeddings import adapt_embeddings as adapt_embeddings
from metricgrad.adapting.pairs import adapt_pairs as adapt_pairs

__all__ = ["Adapted", "Training", "adapt_embeddings", "adapt_pairs"]
