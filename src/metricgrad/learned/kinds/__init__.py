"""What the outputs of a network are, one kind per file: how they are read, compared, embedded and made up.

A kind ends in a function that returns an `OutputKind`. Its encoder is the h of a learned surrogate: piecewise linear,
without batch normalisation or dropout, a deterministic map of each sample. Its pairs are outputs and targets made
without data, `(count, rng) -> (outputs, targets)` in the formats of network and split, determined by the numpy
generator that they are given: a surrogate must know the metric beyond the model's own errors.
"""
