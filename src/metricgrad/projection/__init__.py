"""Closed forms of embeddings: maps of frozen vectors that are computed in one pass, without training."""

from metricgrad.projection.adapter_file import write_apply_script as write_apply_script
from metricgrad.projection.centre import Centre as Centre
from metricgrad.projection.centre import Identity as Identity
from metricgrad.projection.label_forms import label_grid as label_grid
from metricgrad.projection.lda import LDA as LDA
from metricgrad.projection.leading import PCA as PCA
from metricgrad.projection.leading import AllButTheTop as AllButTheTop
from metricgrad.projection.pair_forms import pair_grid as pair_grid
from metricgrad.projection.pair_forms import query_grid as query_grid
from metricgrad.projection.pair_projection import PairProjection as PairProjection
from metricgrad.projection.pair_projection import load_projection as load_projection
from metricgrad.projection.pairs import CCA as CCA
from metricgrad.projection.pairs import Procrustes as Procrustes
from metricgrad.projection.pairs import Ridge as Ridge
from metricgrad.projection.pairs import WithinPairWhitening as WithinPairWhitening
from metricgrad.projection.projection import Projection as Projection
from metricgrad.projection.whitening import Whitening as Whitening
from metricgrad.projection.whitening import WithinClassWhitening as WithinClassWhitening

__all__ = [
    "CCA",
    "LDA",
    "PCA",
    "AllButTheTop",
    "Centre",
    "Identity",
    "PairProjection",
    "Procrustes",
    "Projection",
    "Ridge",
    "Whitening",
    "WithinClassWhitening",
    "WithinPairWhitening",
    "label_grid",
    "load_projection",
    "pair_grid",
    "query_grid",
    "write_apply_script",
]
