"""Training in the directions of the closed form: what is kept, and that head, projection and form are one map."""

import numpy as np
import torch

from metricgrad.adapting.head import BLOCK, Head
from metricgrad.adapting.narrow import narrowed
from metricgrad.adapting.remembered import before_length
from metricgrad.projection import Centre, PairProjection, Whitening
from tests.adapting.small_vectors import vectors


def test_few_directions_stay_as_they_are() -> None:
    """A form with no more directions than are trained is the very same one."""
    x, _ = vectors()
    form = Whitening().fit(x)
    assert narrowed([(form, x)], most=24)[0] is form


def test_the_directions_with_most_variance_are_kept() -> None:
    """The cut is that of a principal component analysis of what the form gives, by numpy."""
    x, _ = vectors()
    form = Centre().fit(x)
    (cut,) = narrowed([(form, x)], most=5)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    mapped = unit @ form.weight.numpy().T + form.bias.numpy()
    centred = mapped - mapped.mean(0)
    leading = np.linalg.svd(centred, full_matrices=False)[2][:5]
    ours = unit @ cut.weight.numpy().T + cut.bias.numpy()
    theirs = mapped @ leading.T
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-10)
    assert cut.words() == "centring, cut to 5 directions"


def test_both_sides_are_cut_alike() -> None:
    """Queries and documents stay comparable: the map of both by one form is cut as that of one side."""
    x, _ = vectors()
    form = Centre().fit(x)
    first, second = narrowed([(form, x), (form, x)], most=5)
    torch.testing.assert_close(first.weight, second.weight)
    assert PairProjection(first, second)(query=torch.from_numpy(x)).shape == (len(x), 5)


def test_a_trained_head_is_its_projection() -> None:
    """In eval mode, whether rows are remembered or not, and in blocks; the form itself is not trained."""
    x = torch.from_numpy(vectors()[0])
    head = Head(Whitening().fit(x))
    names = [name for name, weight in head.named_parameters() if weight.requires_grad]
    assert names == ["linear.weight", "linear.bias"]
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(head.linear.bias, generator=torch.Generator().manual_seed(1))
    head.eval()
    expected = head.projection("", {})(x)
    for _ in range(2):
        torch.testing.assert_close(head(x), expected, atol=1e-6, rtol=0)
    many = x.repeat(BLOCK // len(x) + 2, 1)
    torch.testing.assert_close(head(many)[-len(x) :], expected, atol=1e-6, rtol=0)
    head.train()
    unit = torch.nn.functional.normalize(head(x))
    torch.testing.assert_close(unit, expected, atol=1e-4, rtol=0)


def test_what_is_remembered_is_of_the_form_that_asks() -> None:
    """Another form over the same rows is computed anew."""
    x = torch.from_numpy(vectors()[0])
    one, other = Whitening().fit(x), Centre().fit(x)
    assert before_length(one, x) is before_length(one, x)
    assert float((before_length(one, x) - before_length(other, x)).abs().max()) > 0.01
