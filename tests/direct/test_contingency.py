"""Sets decoded exactly under a loss of counts, against every set there is."""

import functools
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metricgrad import metrics
from metricgrad.direct import contingency
from metricgrad.direct.contingency import Contingency, best_counts
from metricgrad.direct.counts import COUNTS
from metricgrad.direct.direct_loss import DirectLoss
from metricgrad.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:DirectLoss. update='neg' on raw scores")

KERNELS = ("numba", "torch")
SETTINGS = [
    ("error_rate", 1.0), ("balanced_error", 1.0), ("iou", 1.0), ("dice", 1.0),
    ("f_beta", 0.5), ("f_beta", 1.0), ("f_beta", 2.0),
]  # fmt: skip
ORACLES = Path(__file__).parents[1] / "data" / "oracles" / "direct_loss.json"
ITEMS = 7


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The compiled loops and the plain text, one after the other."""
    monkeypatch.setenv("METRICGRAD_KERNEL", request.param)
    return request.param


def slow_loss(metric: str, beta: float, tp: float, fp: float, P: int, N: int) -> float:
    """Return the loss of a set, written with missed positives and with 0/0 = 1 for the metric."""
    missed = P - tp
    if metric == "error_rate":
        return (missed + fp) / (P + N) if P + N else 0.0
    if metric == "balanced_error":
        shares = [part / whole for part, whole in ((missed, P), (fp, N)) if whole]
        return sum(shares) / len(shares) if shares else 0.0
    if metric == "iou":
        return 1 - tp / (tp + fp + missed) if tp + fp + missed else 0.0
    weight = 1.0 if metric == "dice" else beta * beta
    whole = (1 + weight) * tp + weight * missed + fp
    return 1 - (1 + weight) * tp / whole if whole else 0.0


@functools.cache
def losses(metric: str, beta: float) -> Tensor:
    """Return the loss by [tp, fp, P, N], NaN where there is no such set."""
    table = torch.full((ITEMS + 1,) * 4, torch.nan, dtype=torch.float64)
    for P, N in itertools.product(range(ITEMS + 1), repeat=2):
        for tp, fp in itertools.product(range(P + 1), range(N + 1)):
            table[tp, fp, P, N] = slow_loss(metric, beta, tp, fp, P, N)
    return table


def every_set(
    scores: Tensor, targets: Tensor, mask: Tensor, metric: str, beta: float
) -> tuple[Tensor, Tensor]:
    """Return F and L [unit, set] of all sets of at most `ITEMS` items; -inf and 0 for one with a masked item."""
    sets = torch.tensor(list(itertools.product((0, 1), repeat=scores.shape[1])))
    fit = sets.double() @ scores.masked_fill(~mask, 0).T
    positive, negative = (targets == 1) & mask, (targets == 0) & mask
    tp, fp = sets @ positive.long().T, sets @ negative.long().T
    loss = losses(metric, beta)[tp, fp, positive.sum(1), negative.sum(1)]
    masked = sets @ (~mask).long().T > 0
    return fit.masked_fill(masked, -torch.inf).T, loss.masked_fill(masked, 0).T


def drawn(units: int, items: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with many ties and zeros, targets of any share, and which items there are; some units have none."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (units, items), generator=generator).double() / 2
    free = torch.rand(units, 1, generator=generator) < 0.5
    scores = torch.where(free, scores + 0.3 * torch.randn(units, items, generator=generator), scores)
    share = torch.rand(units, 1, generator=generator) * 1.6 - 0.3
    targets = (torch.rand(units, items, generator=generator) < share).long()
    present = torch.rand(units, 1, generator=generator) * 1.2
    return scores, targets, torch.rand(units, items, generator=generator) < present


def holds(
    scores: Tensor, targets: Tensor, mask: Tensor, metric: str, beta: float, epsilon: float, sign: int
) -> None:
    """Assert that a decode has the value of the best of all sets, and is a set that has this value."""
    structure = Contingency(metric, beta=beta)
    fit, loss = every_set(scores, targets, mask, metric, beta)
    output, value = structure.augment(scores, targets, epsilon=epsilon, sign=sign, mask=mask)
    torch.testing.assert_close(value, (fit + sign * epsilon * loss).max(1).values, atol=1e-12, rtol=0)
    made_up = (output * scores).sum(1) + sign * epsilon * structure.task_loss(output, targets, mask=mask)
    torch.testing.assert_close(made_up, value, atol=1e-12, rtol=0)
    assert bool(((output == 0) | (output == 1)).all()) and not bool(output[~mask].any())


@pytest.mark.parametrize(("metric", "beta"), SETTINGS)
def test_equals_enumeration(metric: str, beta: float, kernel: str):
    """Both signs, small and large epsilon, ties, and units without positives, negatives or items."""
    units = 300 if kernel == "numba" else 10
    scores, targets, mask = drawn(units, ITEMS, seed=1)
    for epsilon, sign in itertools.product((0.3, 2.0, 11.0), (1, -1)):
        holds(scores, targets, mask, metric, beta, epsilon, sign)


Unit = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), max_size=ITEMS)


@given(
    st.lists(Unit, min_size=1, max_size=6),
    st.sampled_from(SETTINGS),
    st.floats(0.01, 20),
    st.sampled_from((1, -1)),
)
@settings(max_examples=30, derandomize=True)
def test_equals_enumeration_of_any(
    units: list[list[tuple[int, int]]], setting: tuple[str, float], epsilon: float, sign: int
):
    """Units of any size, one after the other in a padded batch."""
    padded = torch.tensor([unit + [(9, 1)] * (ITEMS - len(unit)) for unit in units])
    mask = torch.arange(ITEMS) < torch.tensor([len(unit) for unit in units])[:, None]
    for kernel in KERNELS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("METRICGRAD_KERNEL", kernel)
            holds(padded[..., 0].double(), padded[..., 1], mask, *setting, epsilon, sign)


@pytest.mark.parametrize(("metric", "beta"), SETTINGS)
def test_prediction_and_bracket(metric: str, beta: float):
    """The prediction is the best set by score, ties count half, and its losses lie between l_neg and l_pos."""
    scores, targets, mask = drawn(300, ITEMS, seed=2)
    structure = Contingency(metric, beta=beta)
    defined = structure.defined(scores, targets, mask=mask)
    assert 200 < defined.sum() < 300
    output, value = structure.predict(scores, mask=mask)
    expected = torch.where(scores > 0, 1.0, torch.where(scores == 0, 0.5, 0.0)).double() * mask
    torch.testing.assert_close(output, expected, atol=0, rtol=0)
    fit, loss = every_set(scores, targets, mask, metric, beta)
    best = fit.max(1, keepdim=True).values
    torch.testing.assert_close(value, best[:, 0], atol=1e-12, rtol=0)
    tied = fit >= best - 1e-12
    least, most = (loss.masked_fill(~tied, end).sort(1).values for end in (torch.inf, -torch.inf))
    bracket = DirectLoss(structure, epsilon=1.5).bracket(scores, targets, mask)
    assert bool((bracket.lower <= least[:, 0] + 1e-9)[defined].all())
    assert bool((bracket.upper >= most[:, -1] - 1e-9)[defined].all())
    assert bool((bracket.lower <= bracket.loss + 1e-9)[defined].all())
    assert not bool(torch.stack(bracket)[:, ~defined].any())


@pytest.mark.parametrize("sign", [1, -1])
def test_output_is_a_subgradient(sign: int, kernel: str):
    """The value is convex in the scores, and the decode is its slope: it lies on or below the value elsewhere."""
    scores, targets, mask = drawn(20, ITEMS, seed=3)
    elsewhere = drawn(20, ITEMS, seed=4)[0]
    structure = Contingency("iou")
    output, value = structure.augment(scores, targets, epsilon=2.0, sign=sign, mask=mask)
    slope = structure.gradient(output, targets, mask=mask)
    _, there = structure.augment(elsewhere, targets, epsilon=2.0, sign=sign, mask=mask)
    assert bool((there >= value + (slope * (elsewhere - scores)).sum(1) - 1e-9).all())
    assert bool((there > value + (slope * (elsewhere - scores)).sum(1) + 1e-3).any())


def large(positives: int, negatives: int, seed: int) -> tuple[Tensor, Tensor]:
    """One unit, its positives somewhat higher."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.zeros(1, positives + negatives, dtype=torch.long)
    targets[:, :positives] = 1
    scores = torch.randn(targets.shape, generator=generator, dtype=torch.float64) + 0.5 * targets
    order = torch.randperm(scores.shape[1], generator=generator)
    return scores[:, order], targets[:, order]


@pytest.mark.parametrize("sizes", [(200, 500), (500, 200)])
@pytest.mark.parametrize(("metric", "beta"), [(name, beta) for name, beta in SETTINGS if beta >= 1])
def test_divide_and_conquer_equals_table(metric: str, beta: float, sizes: tuple[int, int], kernel: str):
    """Both signs, at epsilons that move few items and many."""
    scores, targets = large(*sizes, seed=5)
    halves, table = Contingency(metric, beta=beta), Contingency(metric, beta=beta)
    assert halves.monotone
    table.monotone = False
    for epsilon, sign in itertools.product((5.0, 60.0, 900.0), (1, -1)):
        decodes = [one.augment(scores, targets, epsilon=epsilon, sign=sign) for one in (halves, table)]
        torch.testing.assert_close(decodes[0][1], decodes[1][1], atol=1e-10, rtol=1e-13)
        assert decodes[0][0].sum() not in (0, scores.shape[1])


def test_few_cells_at_once(monkeypatch: pytest.MonkeyPatch):
    """The table in blocks of a few rows, or of one that does not fit, is the whole table."""
    monkeypatch.setenv("METRICGRAD_KERNEL", "torch")
    scores, targets = large(23, 40, seed=6)
    structure = Contingency("f_beta", beta=0.5)
    for sign in (1, -1):
        whole = structure.augment(scores, targets, epsilon=9.0, sign=sign)
        for cells in (1, 41, 200):
            monkeypatch.setattr(contingency, "BLOCK_CELLS", cells)
            cut = structure.augment(scores, targets, epsilon=9.0, sign=sign)
            torch.testing.assert_close(cut, whole, atol=0, rtol=0)


def trap() -> dict[str, Any]:
    """The stored case in which divide and conquer is wrong."""
    stored = json.loads(ORACLES.read_text())
    cases = stored["cases"] if isinstance(stored, dict) else stored
    (found,) = (
        case
        for case in cases
        if case["structure"] == "contingency_counts" and "divide_and_conquer_wrong_value" in case["expected"]
    )
    return found


def test_f_half_needs_the_table(kernel: str):
    """Divide and conquer, forced on F-0.5, has the stored wrong value; by itself the structure has the right one."""
    case = trap()
    lists = [
        torch.tensor(case["inputs"][f"scores_{kind}"], dtype=torch.float64)
        for kind in ("positive", "negative")
    ]
    scores, targets = torch.cat(lists)[None], torch.tensor([[1] * len(lists[0]) + [0] * len(lists[1])])
    how = {"epsilon": case["params"]["epsilon"], "sign": case["params"]["sign"]}
    structure = Contingency("f_beta", beta=0.5)
    output, value = structure.augment(scores, targets, **how)
    assert value.item() == pytest.approx(case["expected"]["value"], abs=1e-9)
    assert [output[targets == kind].sum().item() for kind in (1, 0)] == case["expected"]["argmax"]
    a, b, best = best_counts(structure, *lists, **how)
    assert ([a, b], best) == (case["expected"]["argmax"], pytest.approx(case["expected"]["value"], abs=1e-9))
    structure.monotone = True
    wrong = structure.augment(scores, targets, **how)[1].item()
    assert wrong == pytest.approx(case["expected"]["divide_and_conquer_wrong_value"], abs=1e-9)


def f_loss(beta: float) -> contingency.Loss:
    """Return 1 - F-beta as a user may write it."""

    def loss(a: Tensor, b: Tensor, P: Tensor, N: Tensor) -> Tensor:
        weight = beta**2
        whole = a + b + weight * P
        return torch.where(whole > 0, 1 - (1 + weight) * a / whole.clamp(min=1e-9), 0)

    return loss


def costs(a: Tensor, b: Tensor, P: Tensor, N: Tensor) -> Tensor:
    """A loss that is not monotone, and not of the full shape in every part."""
    return 3 * (P - a) + b**2 / 4 - (a * b).sqrt()


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("monotone", [False, True])
def test_own_loss_equals_the_built_in(beta: float, monotone: bool):
    """The table and, where declared, halves, for a function of the user."""
    scores, targets, mask = drawn(20, 12, seed=7)
    own, ours = Contingency(loss=f_loss(beta), monotone=monotone), Contingency("f_beta", beta=beta)
    for sign in (1, -1):
        found, expected = (
            one.augment(scores, targets, epsilon=3.0, sign=sign, mask=mask) for one in (own, ours)
        )
        here = mask.any(1)
        torch.testing.assert_close(found[1][here], expected[1][here], atol=1e-12, rtol=0)
    torch.testing.assert_close(
        own.task_loss(found[0], targets, mask=mask)[here], ours.task_loss(found[0], targets, mask=mask)[here]
    )


def test_own_loss_of_any_form():
    """A loss of no known name, against every set."""
    scores, targets, _ = drawn(20, ITEMS, seed=8)
    structure = Contingency(loss=costs)
    sets = torch.tensor(list(itertools.product((0.0, 1.0), repeat=ITEMS)), dtype=torch.float64)
    positives, negatives = ((targets == kind).double() for kind in (1, 0))
    loss = costs(sets @ positives.T, sets @ negatives.T, positives.sum(1), negatives.sum(1))
    for sign in (1, -1):
        _, value = structure.augment(scores, targets, epsilon=0.4, sign=sign)
        best = (sets @ scores.T + sign * 0.4 * loss).max(0).values
        torch.testing.assert_close(value, best, atol=1e-12, rtol=0)


@pytest.mark.parametrize("loss", [f_loss(0.5), f_loss(0.9), f_loss(0.99), costs])
def test_false_claim_is_refused(loss: contingency.Loss):
    """What is declared monotone and is not raises, with the counts that show it."""
    Contingency(loss=loss)
    with pytest.raises(
        InputError, match=r"monotone=True, but of \d+ positives and \d+ negatives, negative \d+ adds"
    ):
        Contingency(loss=loss, monotone=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "f_betta"}, "f_betta.*Did you mean 'f_beta'"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"metric": "dice", "beta": 2.0}, "dice came with beta = 2.0"),
        (
            {"loss": lambda a, b, P, N: b / (a + b)},
            "the loss of 0 of 0 positives and 0 of 1 negatives is nan",
        ),
        ({"loss": lambda a, b, P, N: (a - b).mean()}, "element by element"),
        ({"loss": lambda a, b, P, N: 0.5}, "is 0.5; expected a tensor"),
    ],
)
def test_refused_settings(arguments: dict[str, Any], message: str):
    """The message names what came."""
    with pytest.raises(InputError, match=message):
        Contingency(**arguments)


ONES = torch.ones(2, 3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("scores", "targets", "mask", "message"),
    [
        (ONES[0], ONES[0], None, "unit, item"),
        (ONES, torch.ones(2, 2), None, "one 0 or 1 for every score"),
        (ONES, 2 * torch.ones(2, 3), None, "targets hold 2"),
        (ONES * torch.nan, ONES, None, "NaN or infinite"),
        (ONES * torch.inf, ONES, None, "NaN or infinite"),
        (ONES, ONES, torch.ones(2, 3), "mask is"),
        (ONES, ONES, torch.ones(2, dtype=torch.bool), "mask is"),
    ],
)
def test_refused_arguments(scores: Tensor, targets: Tensor, mask: Tensor | None, message: str):
    """What does not fit is refused where the wrapper asks."""
    with pytest.raises(InputError, match=message):
        Contingency().defined(scores, targets, mask=mask)


def test_masked_items_do_not_matter(kernel: str):
    """Whatever stands at padding, NaN and strange targets too, decodes are those without the padding."""
    scores, targets, _ = drawn(20, ITEMS, seed=9)
    mask = (torch.arange(ITEMS + 3) < ITEMS).expand(20, -1)
    padded = torch.nn.functional.pad(scores, (0, 3), value=torch.nan)
    strange = torch.nn.functional.pad(targets, (0, 3), value=7)
    structure = Contingency("f_beta", beta=2.0)
    assert bool(structure.defined(padded, strange, mask=mask).all())
    for with_padding, without in (
        (structure.predict(padded, mask=mask), structure.predict(scores)),
        (structure.ideal(padded, strange, mask=mask), structure.ideal(scores, targets)),
        *(
            (
                structure.augment(padded, strange, epsilon=2.0, sign=sign, mask=mask),
                structure.augment(scores, targets, epsilon=2.0, sign=sign),
            )
            for sign in (1, -1)
        ),
    ):
        torch.testing.assert_close(with_padding[0][:, :ITEMS], without[0], atol=0, rtol=0)
        torch.testing.assert_close(with_padding[1], without[1], atol=1e-12, rtol=0)
        assert not bool(with_padding[0][:, ITEMS:].any())


@pytest.mark.parametrize(("metric", "beta"), SETTINGS)
def test_empty_kinds(metric: str, beta: float):
    """Without positives: none taken is no error, all taken is the worst; the targets themselves have loss 0."""
    structure = Contingency(metric, beta=beta)
    targets = torch.tensor([[0, 0, 0], [1, 1, 1]])
    none, every = torch.zeros(2, 3, dtype=torch.float64), ONES
    assert structure.task_loss(none, targets).tolist() == [0.0, 1.0]
    assert structure.task_loss(every, targets).tolist() == [1.0, 0.0]
    ideal, value = structure.ideal(2 * ONES, targets)
    torch.testing.assert_close(ideal, targets.double(), atol=0, rtol=0)
    assert value.tolist() == [0.0, 6.0] and not bool(structure.task_loss(ideal, targets).any())
    taken = torch.tensor([[1.0, 0, 0], [1, 0, 0]], dtype=torch.float64)
    if metric in ("f_beta", "dice", "iou"):
        assert structure.task_loss(taken, targets)[0].item() == 1.0
    assert not bool(structure.defined(ONES, targets, mask=torch.zeros(2, 3, dtype=torch.bool)).any())


def test_no_units(kernel: str):
    """An empty batch is decoded to an empty batch."""
    scores, targets = torch.zeros(0, 3), torch.zeros(0, 3)
    output, value = Contingency().augment(scores, targets, epsilon=1.0, sign=1)
    assert (output.shape, value.shape) == ((0, 3), (0,))


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("error_rate", "error_rate"),
        ("balanced_error", "balanced_error"),
        ("f_beta", "f_beta:beta=2"),
        ("dice", "f1"),
        ("iou", "jaccard"),
    ],
)
def test_losses_of_counts_are_the_metrics_of_their_tables(name: str, metric: str) -> None:
    """For every pair of counts, of up to four positives and negatives."""
    of_table = metrics.adapt(metric).of_table
    assert of_table is not None
    for P, N in itertools.product(range(5), repeat=2):
        a, b = torch.meshgrid(torch.arange(P + 1.0), torch.arange(N + 1.0), indexing="ij")
        a, b = a.double(), b.double()
        found = COUNTS[name].loss(
            a, b, torch.tensor(float(P)), torch.tensor(float(N)), 2.0 if name == "f_beta" else 1.0
        )
        tables = torch.stack([torch.stack([N - b, b], -1), torch.stack([P - a, a], -1)], -2)
        value = of_table(tables) if "error" in name else 1 - of_table(tables)
        if P + N:
            torch.testing.assert_close(found, value, rtol=0, atol=1e-15)
