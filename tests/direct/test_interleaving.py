"""Rankings decoded exactly, against every interleaving there is."""

import itertools
from collections.abc import Callable, Iterator

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Generator, Tensor

from metricgrad.direct import BruteForce, interleaving
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.direct.interleaving import Interleaving
from metricgrad.direct.tables import TABLES
from metricgrad.errors import InputError
from metricgrad.metrics import average_precisions, retrieval

pytestmark = pytest.mark.filterwarnings("ignore:DirectLoss. update='neg' on raw scores")

KERNELS = ("numba", "torch")
METRICS = [(name, 2 if table.cut else None) for name, table in TABLES.items()]


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiled loops and the plain text, one after the other."""
    monkeypatch.setenv("METRICGRAD_KERNEL", request.param)
    return request.param


def drawn(queries: int, items: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with many ties, relevance, and which items there are; any number of positives and negatives."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (queries, items), generator=generator).double() / 2
    free = torch.rand(queries, 1, generator=generator) < 0.5
    scores = torch.where(free, scores + 0.3 * torch.randn(queries, items, generator=generator), scores)
    share = torch.rand(queries, 1, generator=generator)
    targets = (torch.rand(queries, items, generator=generator) < share).long()
    return scores, targets, torch.rand(queries, items, generator=generator) < 0.8


def interleavings(m: int, n: int) -> Iterator[tuple[int, ...]]:
    """Every number of negatives above each positive."""
    return itertools.combinations_with_replacement(range(n + 1), m)


def enumerated(
    structure: Interleaving, scores: Tensor, targets: Tensor, strength: float
) -> tuple[float, float, float]:
    """The largest F + strength * L of one query, and the smallest and largest loss among the best rankings by F."""
    positives, negatives = (scores[targets == kind].sort(descending=True).values for kind in (1, 0))
    m, n = len(positives), len(negatives)
    counts = torch.tensor(list(interleavings(m, n)), dtype=torch.float64)
    above = counts[:, :, None] > torch.arange(n)
    pairs = torch.where(above, -1.0, 1.0) * (positives[:, None] - negatives)
    fit = pairs.sum((1, 2)) / (m * n)
    items = [torch.tensor([[float(size)]], dtype=torch.float64) for size in (m, n)]
    i = torch.arange(1.0, m + 1, dtype=torch.float64)[None]
    loss = structure._share(i, counts, *items).sum(1)
    loss = loss if structure.table is None else loss + structure.table.rest(*items, structure.k)[0]
    best = loss[fit >= fit.max() - 1e-12]
    return (fit + strength * loss).max().item(), best.min().item(), best.max().item()


@pytest.mark.parametrize(("metric", "k"), METRICS)
def test_equals_enumeration(metric: str, k: int | None, kernel: str):
    """Both signs find the best ranking; its loss and score make up the value; the bracket holds."""
    structure = Interleaving(metric, k=k)
    scores, targets, mask = drawn(60, 7, seed=1)
    defined = structure.defined(scores, targets, mask=mask)
    assert 30 < defined.sum() < 60
    prediction, _ = structure.predict(scores, targets=targets, mask=mask)
    predicted = structure.task_loss(prediction, targets, mask=mask)
    for epsilon, sign in itertools.product((0.05, 1.0, 8.0), (1, -1)):
        output, value = structure.augment(scores, targets, epsilon=epsilon, sign=sign, mask=mask)
        score = (structure.gradient(output, targets, mask=mask) * scores).sum(1)
        made_up = score + sign * epsilon * structure.task_loss(output, targets, mask=mask)
        torch.testing.assert_close(made_up[defined], value[defined], atol=1e-12, rtol=0)
        side = DirectLoss(structure, update="pos" if sign == 1 else "neg", epsilon=epsilon, normalize=None)
        bracket = side.bracket(scores, targets, mask)
        for query in defined.nonzero()[:, 0].tolist():
            here = mask[query]
            best, least, most = enumerated(
                structure, scores[query][here], targets[query][here], sign * epsilon
            )
            assert value[query].item() == pytest.approx(best, abs=1e-12)
            assert least - 1e-12 <= predicted[query].item() <= most + 1e-12
            assert bracket.lower[query].item() <= least + 1e-9
            assert bracket.upper[query].item() >= most - 1e-9


def test_thousands_of_rankings(kernel: str):
    """The two kernels' text and the count of lifted negatives agree with enumeration in value, ties and all."""
    generator = torch.Generator().manual_seed(3)
    for m, n in ((1, 1), (1, 4), (4, 1), (2, 3), (3, 3)):
        queries = 400
        scores = torch.randint(-2, 3, (queries, m + n), generator=generator).double()
        targets = (torch.arange(m + n) < m).long().expand(queries, -1)
        counts = torch.tensor(list(interleavings(m, n)), dtype=torch.float64)
        positives, negatives = (
            part.sort(1, descending=True).values for part in (scores[:, :m], scores[:, m:])
        )
        signs = torch.where(counts[:, :, None] > torch.arange(n), -1.0, 1.0)
        pairs = positives[:, :, None] - negatives[:, None]
        fit = torch.einsum("cij,qij->qc", signs.double(), pairs) / (m * n)
        sizes = [torch.tensor([[float(size)]], dtype=torch.float64) for size in (m, n)]
        i = torch.arange(1.0, m + 1, dtype=torch.float64)[None]
        for (metric, k), sign in itertools.product(METRICS, (1, -1)):
            structure = Interleaving(metric, k=k)
            assert structure.table is not None
            loss = structure._share(i, counts, *sizes).sum(1) + structure.table.rest(*sizes, structure.k)[0]
            _, value = structure.augment(scores, targets, epsilon=0.7, sign=sign)
            torch.testing.assert_close(value, (fit + sign * 0.7 * loss).max(1).values, atol=1e-12, rtol=0)


def large(positives: int, negatives: int, seed: int, shift: float = 0.5) -> tuple[Tensor, Tensor]:
    """One ranking, its positives somewhat higher."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(1, positives + negatives, generator=generator, dtype=torch.float64)
    targets = torch.zeros(scores.shape, dtype=torch.long)
    targets[:, :positives] = 1
    scores[:, :positives] += shift
    order = torch.randperm(scores.shape[1], generator=generator)
    return scores[:, order], targets[:, order]


@pytest.mark.parametrize("metric", [name for name, table in TABLES.items() if table.concave])
def test_divide_and_conquer_equals_rows(metric: str, monkeypatch: pytest.MonkeyPatch):
    """At 1,000 x 5,000: lifted negatives (compiled and plain) and rows have the same value."""
    structure, (scores, targets) = Interleaving(metric), large(1000, 5000, seed=4)
    values = {}
    for name, kernel, concave in (
        ("compiled", "numba", True), ("plain", "torch", True), ("rows", "numba", False),
    ):  # fmt: skip
        monkeypatch.setenv("METRICGRAD_KERNEL", kernel)
        structure.concave = concave
        values[name] = structure.augment(scores, targets, epsilon=1.0, sign=1)[1]
    torch.testing.assert_close(values["compiled"], values["rows"], atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(values["plain"], values["rows"], atol=1e-10, rtol=1e-12)


@pytest.mark.parametrize(("sizes", "sign"), list(itertools.product([(40, 90), (90, 40)], (1, -1))))
def test_little_memory(sizes: tuple[int, int], sign: int, kernel: str, monkeypatch: pytest.MonkeyPatch):
    """Where the way back does not fit, rows are computed twice: the same ranking."""
    structure, (scores, targets) = Interleaving("ndcg_at_k", k=30), large(*sizes, seed=5)
    whole = structure.augment(scores, targets, epsilon=4.0, sign=sign)
    monkeypatch.setattr(interleaving, "TABLE_BYTES", 64)
    cut = structure.augment(scores, targets, epsilon=4.0, sign=sign)
    torch.testing.assert_close(cut, whole, atol=0, rtol=0)


def test_stretches_that_cross():
    """Positives whose own best counts are out of order are solved together: the plain text's value."""
    generator = torch.Generator().manual_seed(6)
    for seed, (metric, k), sign in itertools.product(range(3), METRICS, (1, -1)):
        scores = torch.randn(20, 60, generator=generator, dtype=torch.float64) * 10 ** (seed - 1)
        targets = (torch.rand(20, 60, generator=generator) < 0.4).long()
        structure = Interleaving(metric, k=None if k is None else 20)
        value = structure.augment(scores, targets, epsilon=3.0, sign=sign)[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("METRICGRAD_KERNEL", "torch")
            plain = structure.augment(scores, targets, epsilon=3.0, sign=sign)[1]
        torch.testing.assert_close(value, plain, atol=1e-11, rtol=0)


@pytest.mark.parametrize(
    ("metric", "k", "exact"),
    [
        ("average_precision", None, average_precisions.average_precision),
        ("reciprocal_rank", None, retrieval.reciprocal_rank),
        ("ndcg", None, retrieval.ndcg),
        ("precision_at_k", 3, retrieval.precision_at_k),
        ("recall_at_k", 3, retrieval.recall_at_k),
        ("hit_at_k", 3, retrieval.hit_at_k),
    ],
)
def test_loss_is_the_metric(metric: str, k: int | None, exact: Callable[..., Tensor]):
    """1 - L of the prediction is the exact metric, where no scores tie."""
    generator = torch.Generator().manual_seed(7)
    scores = torch.randn(30, 9, generator=generator, dtype=torch.float64)
    targets = torch.rand(30, 9, generator=generator) < 0.4
    structure = Interleaving(metric, k=k)
    defined = structure.defined(scores, targets)
    prediction, _ = structure.predict(scores, targets=targets)
    cut = {} if k is None else {"k": k}
    found = 1 - structure.task_loss(prediction, targets)[defined]
    torch.testing.assert_close(found, exact(scores, targets, **cut)[defined].double())


def own_loss(i: Tensor, c: Tensor, m: Tensor, n: Tensor) -> Tensor:
    """Average precision, as a user would write it."""
    return c / (i + c) / m


def test_own_loss(kernel: str):
    """A loss of one's own decodes like the built-in one, declared concave or not."""
    scores, targets, mask = drawn(40, 8, seed=8)
    known = Interleaving("average_precision")
    defined = known.defined(scores, targets, mask=mask)
    for concave, sign in itertools.product((True, False), (1, -1)):
        own = Interleaving(loss=own_loss, concave=concave)
        values = [
            one.augment(scores, targets, epsilon=0.8, sign=sign, mask=mask)[1][defined]
            for one in (own, known)
        ]
        torch.testing.assert_close(*values)


def _falling(i: Tensor, c: Tensor, m: Tensor, n: Tensor) -> Tensor:
    return -c / m + 0 * i


def _square(i: Tensor, c: Tensor, m: Tensor, n: Tensor) -> Tensor:
    return (c / n) ** 2 / m + 0 * i


def _wrong_shape(i: Tensor, c: Tensor, m: Tensor, n: Tensor) -> Tensor:
    return c / n


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "average_precison"}, "Did you mean 'average_precision'"),
        ({"metric": "hit_at_k"}, "k = None; expected a whole number >= 1"),
        ({"metric": "hit_at_k", "k": 0}, "k = 0"),
        ({"metric": "ndcg", "k": 5}, "expected none: it has no cut-off"),
        ({"loss": _falling}, "falls with c"),
        ({"loss": _square, "concave": True}, "not concave in c"),
        ({"loss": _wrong_shape}, "expected a tensor of shape"),
    ],
)
def test_bad_structure(arguments: dict, message: str):
    """A structure that would decode wrongly cannot be made."""
    with pytest.raises(InputError, match=message):
        Interleaving(**arguments)


SCORES, TARGETS = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([[1, 0, 0]] * 2)


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "message"),
    [
        (SCORES[0], TARGETS[0], None, "expected a floating-point tensor"),
        (SCORES, TARGETS[:, :2], None, "expected one 0 or 1 for every score"),
        (SCORES, TARGETS + 1, None, "targets hold 2"),
        (SCORES * torch.nan, TARGETS, None, "NaN or infinite values in 2 of 2 rows"),
        (SCORES.fill_diagonal_(0) / 0, TARGETS, None, "NaN or infinite"),
        (SCORES, TARGETS, TARGETS, "mask is"),
    ],
)
def test_bad_input(scores: Tensor, targets: Tensor, mask: Tensor | None, message: str):
    """What came and what was expected."""
    with pytest.raises(InputError, match=message):
        DirectLoss(Interleaving(), epsilon=1.0)(scores, targets, mask)


def test_law_of_permutation(kernel: str):
    """Gradients follow their items, and sum to 0 over a ranking."""
    generator = torch.Generator().manual_seed(9)
    scores = torch.randn(5, 11, generator=generator, dtype=torch.float64)
    targets = (torch.rand(5, 11, generator=generator) < 0.4).long()
    order = torch.randperm(11, generator=generator)
    for update in ("two", "pos", "neg", "hinge"):
        criterion = DirectLoss(Interleaving("ndcg"), update=update, epsilon=0.5)
        slopes = []
        for place in (torch.arange(11), order):
            free = scores[:, place].clone().requires_grad_()
            criterion.per_unit(free, targets[:, place])[0].sum().backward()
            slopes.append(free.grad)
        torch.testing.assert_close(slopes[0][:, order], slopes[1])
        torch.testing.assert_close(slopes[0].sum(1), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


def test_gradient_is_that_of_the_value(kernel: str):
    """Away from kinks: finite differences of the value, for every update that has one."""
    generator = torch.Generator().manual_seed(10)
    scores = torch.randn(3, 7, generator=generator, dtype=torch.float64).requires_grad_()
    targets = (torch.rand(3, 7, generator=generator) < 0.4).long()
    targets[:, 0], targets[:, 1] = 1, 0
    for update in ("two", "pos", "neg", "hinge", "perceptron"):
        criterion = DirectLoss(Interleaving("average_precision"), update=update, epsilon=0.9)
        assert torch.autograd.gradcheck(lambda free, loss=criterion: loss.per_unit(free, targets)[0], scores)


def test_tiny_epsilon_has_no_gradient(kernel: str):
    """Without ties no ranking is near enough."""
    scores, targets = large(20, 50, seed=11)
    free = scores.requires_grad_()
    DirectLoss(Interleaving(), epsilon=1e-9)(free, targets).backward()
    torch.testing.assert_close(free.grad, torch.zeros_like(free))


def generator_of(seed: int) -> Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def test_collapsed_scores(kernel: str):
    """Scores near 0: l_neg reads as if all were well, l_pos as if all were lost."""
    scores = torch.randn(4, 12, generator=generator_of(12), dtype=torch.float64)
    targets = (torch.arange(12) < 4).long().expand(4, -1)
    structure = Interleaving("average_precision")
    bracket = DirectLoss(structure, epsilon=1.0).bracket(1e-3 * scores, targets)
    assert (bracket.lower < 0.01).all()
    worst = structure.augment(scores, targets, epsilon=1e9, sign=1)[0]
    torch.testing.assert_close(bracket.upper, structure.task_loss(worst, targets), atol=0.01, rtol=0)


def random_table(m: int, n: int, seed: int) -> Tensor:
    """Losses [positive, count] that do not fall with the count."""
    rises = torch.randint(0, 4, (m, n + 1), generator=generator_of(seed)).double() / 8
    return rises.cumsum(1)


def listed(m: int, n: int, table: Tensor) -> Callable[[Tensor, tuple[int, ...]], tuple[Tensor, Tensor]]:
    """Every interleaving of m positives (who come first) and n negatives, with its feature and its loss."""
    counts = torch.tensor(list(interleavings(m, n)))
    loss = table[torch.arange(m), counts].sum(1)

    def outputs(scores: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        order = [part.argsort(descending=True, stable=True) for part in (scores[:m], scores[m:])]
        above = (counts[:, :, None] > torch.arange(n)).double()  # [output, positive, negative]
        features = torch.empty(len(counts), m + n, dtype=torch.float64)
        features[:, order[0]] = (n - 2 * above.sum(2)) / (m * n)
        features[:, m + order[1]] = (2 * above.sum(1) - m) / (m * n)
        return features, loss

    return outputs


@pytest.mark.slow
@settings(max_examples=120)
@given(
    m=st.integers(1, 4),
    n=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    epsilon=st.sampled_from([0.1, 1.0, 9.0]),
    sign=st.sampled_from([1, -1]),
)
def test_random_tables_equal_brute_force(m: int, n: int, seed: int, epsilon: float, sign: int):
    """Any table of one's own, scores with ties: the value, and what makes it up."""
    table = random_table(8, 8, seed)
    structure = Interleaving(loss=lambda i, c, m, n: table[(i - 1).long(), c.long()])
    scores = torch.randint(-2, 3, (30, m + n), generator=generator_of(seed)).double()
    targets = (torch.arange(m + n) < m).long().expand(30, -1)
    brute = BruteForce(listed(m, n, table))
    expected = brute.augment(scores, scores, epsilon=epsilon, sign=sign)[1]
    output, value = structure.augment(scores, targets, epsilon=epsilon, sign=sign)
    torch.testing.assert_close(value, expected, atol=1e-12, rtol=0)
    score = (structure.gradient(output, targets) * scores).sum(1)
    loss = structure.task_loss(output, targets)
    torch.testing.assert_close(score + sign * epsilon * loss, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        structure.predict(scores, targets=targets)[1],
        brute.predict(scores, targets=scores)[1],
        atol=1e-12,
        rtol=0,
    )
