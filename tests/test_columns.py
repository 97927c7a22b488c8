"""One rule for one and two columns of outputs: metrics, direct losses, surrogates and the proxy read them alike."""

import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from metricgrad import learned, metrics
from metricgrad._columns import are_probabilities, logit_of_class_1, one_column, order_of_class_1, whole_codes
from metricgrad.errors import InputError
from metricgrad.methods.decodes import named_direct, objectives
from metricgrad.methods.objectives import named_objective
from metricgrad.metrics import adapt
from metricgrad.tasks.binary import binary_cross_entropy

GENERATOR = torch.Generator().manual_seed(7)
SCORES = torch.randn(30, generator=GENERATOR)
TARGETS = (torch.arange(30) % 3 == 0).long()
OF_DECISIONS = ("accuracy", "error_rate", "balanced_error", "f1", "macro_f1", "weighted_f1", "f_beta:beta=2")
OF_ORDER = ("roc_auc", "binary_average_precision")


def value(metric, outputs, targets=TARGETS) -> float:
    """Measure and summarise."""
    adapted = adapt(metric)
    return adapted.summarise(adapted.measure(outputs, targets))


def gradient(loss, scores: Tensor, targets: Tensor = TARGETS) -> Tensor:
    """Gradient of the mean loss, one number per sample."""
    scores = scores.clone().requires_grad_()
    loss(scores, targets).mean().backward()
    assert scores.grad is not None
    return scores.grad.reshape(len(scores), -1)


# ------------------------------------------------------------------------------------------- one column


@pytest.mark.parametrize("name", OF_ORDER)
@pytest.mark.parametrize("shape", [(30, 1), (30, 1, 1)])
def test_a_column_ranks_as_the_scores_in_it(name: str, shape: tuple[int, ...]) -> None:
    """Outputs and targets alike, ours and scikit-learn's."""
    theirs = {"roc_auc": sklearn.metrics.roc_auc_score}.get(name, sklearn.metrics.average_precision_score)
    wanted = float(theirs(TARGETS.numpy(), SCORES.double().numpy()))
    for metric in (name, theirs):
        for targets in (TARGETS, TARGETS[:, None], TARGETS[:, None].float()):
            assert value(metric, SCORES.reshape(shape), targets) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", OF_DECISIONS)
def test_a_decision_on_a_column_needs_its_threshold(name: str) -> None:
    """Refused as [sample] is, never the argmax over one column; ids in a column are ids; a threshold decides."""
    for outputs in (SCORES, SCORES[:, None]):
        with pytest.raises(InputError, match="threshold=0 for a logit"):
            value(name, outputs)
        for threshold in (0, 0.25, -1):
            setting = f"{name}{',' if ':' in name else ':'}threshold={threshold}"
            assert value(setting, outputs) == value(name, (SCORES > threshold).long())
    for targets in (TARGETS[:, None], TARGETS.float(), TARGETS.bool(), TARGETS[:, None].half()):
        assert value(name, TARGETS[:, None], targets) == float("error" not in name)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("f1:threshold=0", torch.randn(30, 2)),
        ("accuracy:threshold=0.5", TARGETS),
        ("accuracy:threshold=x", SCORES),
    ],
)
def test_a_threshold_is_for_one_score(name: str, outputs: Tensor) -> None:
    """Class scores and ids have none, and it is a number."""
    with pytest.raises(InputError, match="threshold"):
        value(name, outputs)


@pytest.mark.parametrize("name", sorted(set(objectives()) - {"multiclass"}))
def test_every_direct_loss_raises_the_positives_of_a_column(name: str) -> None:
    """The same gradient as for [sample]; a step of descent lifts positives above negatives."""
    metric = adapt("roc_auc")
    settings = {"epsilon": 20.0}
    flat = gradient(named_direct(name, metric, settings), SCORES)
    column = gradient(named_direct(name, metric, settings), SCORES[:, None], TARGETS[:, None])
    torch.testing.assert_close(column, flat, rtol=0, atol=0)
    assert flat[TARGETS == 1].mean() < flat[TARGETS == 0].mean()


@pytest.mark.parametrize("outputs", [SCORES, SCORES[:, None]])
def test_one_score_has_no_classes_to_choose_from(outputs: Tensor) -> None:
    """`multiclass` and a learned classifier refuse what they would take for class 0."""
    with pytest.raises(InputError, match="direct:error_rate"):
        named_direct("multiclass", adapt("error_rate"), {})(outputs, TARGETS)
    with pytest.raises(InputError, match=r"logits \[sample, 2\]"):
        learned.classes(2).decode(outputs)


@pytest.mark.parametrize("name", ["average_precision", "recall_at_k", "reciprocal_rank"])
def test_surrogates_and_the_proxy_read_the_column(name: str) -> None:
    """The same gradient as for [sample]."""
    settings = {"k": 3} if name == "recall_at_k" else {}
    for loss in (named_objective(name, settings, of_scores=True), binary_cross_entropy):
        column = gradient(loss, SCORES[:, None], TARGETS[:, None].float())
        torch.testing.assert_close(column, gradient(loss, SCORES), rtol=0, atol=0)


@pytest.mark.parametrize("targets", [TARGETS[:20], torch.stack([TARGETS, 1 - TARGETS], 1)])
def test_direct_losses_want_one_target_per_sample(targets: Tensor) -> None:
    """Nothing is broadcast."""
    for outputs in (SCORES, SCORES[:, None], torch.randn(30, 3, generator=GENERATOR)):
        with pytest.raises(InputError, match="one target for every sample"):
            named_direct("f_beta", adapt("macro_f1"), {})(outputs, targets)


@pytest.mark.parametrize(
    ("setting", "scores"), [("threshold=1.5", SCORES + 1.5), ("positive_class=0", -SCORES)]
)
def test_a_direct_loss_decides_where_the_metric_does(setting: str, scores: Tensor) -> None:
    """The threshold of the metric is that of the structure, and its positive class too."""
    targets = 1 - TARGETS if "class" in setting else TARGETS
    flat = gradient(named_direct("f_beta", adapt("f1"), {"epsilon": 1.0}), SCORES)
    found = gradient(named_direct("f_beta", adapt(f"f1:{setting}"), {"epsilon": 1.0}), scores, targets)
    torch.testing.assert_close(-found if "class" in setting else found, flat, rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------ two columns


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reach", [(-90, -40), (-20, 3), (-80, 80)])
def test_small_probabilities_keep_their_order(dtype: torch.dtype, reach: tuple[int, int]) -> None:
    """Rows of a softmax: the second column orders, as in scikit-learn's own scorers."""
    logits = torch.stack([torch.zeros(30), torch.linspace(*reach, 30)], 1).to(dtype)
    probabilities = logits.softmax(1)
    wanted = sklearn.metrics.roc_auc_score(TARGETS.numpy(), probabilities[:, 1].double().numpy())
    for metric in ("roc_auc", sklearn.metrics.roc_auc_score):
        assert value(metric, probabilities) == pytest.approx(wanted, abs=1e-12)


def test_losses_see_small_probabilities() -> None:
    """Scores 1e-20 apart are no ties: log p1 - log p0 is the logit, with a finite gradient down to p = 0."""
    logits = torch.stack([torch.zeros(30), torch.linspace(-75, -40, 30)], 1)
    probabilities = logits.softmax(1)
    torch.testing.assert_close(logit_of_class_1(probabilities), logits[:, 1], rtol=1e-5, atol=1e-5)
    probabilities[0] = torch.tensor([1.0, 0.0])
    for loss in (
        named_direct("average_precision", adapt("roc_auc"), {"epsilon": 1.0}),
        named_direct("f_beta", adapt("f1"), {"epsilon": 1.0}),
        binary_cross_entropy,
    ):
        assert bool(gradient(loss, probabilities).isfinite().all())


def test_logits_are_subtracted_as_before() -> None:
    """To the last bit, also where a row happens to lie in [0, 1]."""
    logits = torch.randn(30, 2, generator=GENERATOR)
    logits[0] = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(logit_of_class_1(logits), logits[:, 1] - logits[:, 0], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_probabilities_are(dtype: torch.dtype) -> None:
    """A softmax in any precision; nothing else."""
    rows = torch.randn(200, 3, generator=GENERATOR).to(dtype).softmax(1)
    assert are_probabilities(rows)
    assert not are_probabilities(rows * 0.5)
    assert not are_probabilities(rows + torch.tensor([0.5, -0.5, 0.0], dtype=dtype))
    assert not are_probabilities(rows[:, 0]) and not are_probabilities(rows[:0])
    assert not are_probabilities((rows > 0).long())


# ----------------------------------------------------------------------------- whole numbers of 64 bits


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=12), st.data())
def test_whole_numbers_compare_as_whole_numbers(numbers: list[int], data: st.DataObject) -> None:
    """Equal and smaller as in Python, whatever float64 makes of them."""
    near = data.draw(st.lists(st.sampled_from([0, 1, -1, 512]), min_size=len(numbers), max_size=len(numbers)))
    others = [min(max(one + step, -(2**63)), 2**63 - 1) for one, step in zip(numbers, near, strict=True)]
    first, second = whole_codes(torch.tensor(numbers), torch.tensor(others))
    assert (first == second).tolist() == [a == b for a, b in zip(numbers, others, strict=True)]
    assert (first < second).tolist() == [a < b for a, b in zip(numbers, others, strict=True)]
    wanted = [sum(one > other for other in numbers) for one in numbers]
    order = order_of_class_1(torch.tensor(numbers))
    assert order is not None
    assert (order[:, None] > order).sum(1).tolist() == wanted


@pytest.mark.parametrize("base", [2**53, -(2**62), 2**63 - 4])
def test_ids_beyond_float64_are_told_apart(base: int) -> None:
    """accuracy, balanced error and F of ids that are one apart; a positive class of that size."""
    predictions, targets = torch.tensor([base, base + 2, base + 2]), torch.tensor([base + 1, base + 2, base])
    assert value("accuracy", predictions, targets) == pytest.approx(1 / 3)
    assert value("balanced_error", predictions, targets) == pytest.approx(2 / 3)
    assert value("macro_f1", predictions, targets) == pytest.approx(2 / 9)
    positive = metrics.f_beta(predictions, targets, positive_class=base + 2)
    assert float(positive) == pytest.approx(2 / 3)


@pytest.mark.parametrize("low", [0, -(2**63), 2**62 - 5])
@pytest.mark.parametrize("high", [2**53, 2**62, 2**63 - 4])
def test_two_columns_of_large_whole_numbers_are_ordered_by_their_difference(low: int, high: int) -> None:
    """Also where float64 rounds the numbers, and where int64 cannot hold the difference."""
    outputs = torch.tensor([[low, high], [low, high + 1], [low, high + 2], [low + 1, high + 2]])
    order = order_of_class_1(outputs)
    assert order is not None and order.argsort().tolist() in ([0, 1, 3, 2], [0, 3, 1, 2])
    assert order[1] == order[3]
    assert value("roc_auc", outputs, torch.tensor([0, 1, 0, 0])) == pytest.approx(1.5 / 3)


def test_what_int64_cannot_hold_is_refused() -> None:
    """A uint64 beyond it beside int64 would be taken for a negative number."""
    with pytest.raises(InputError, match="int64 can hold"):
        value("accuracy", torch.tensor([2**63 + 1, 0], dtype=torch.uint64), torch.tensor([0, 0]))
    assert one_column("ab") == "ab"


def test_a_network_of_one_logit_is_tuned() -> None:
    """A linear layer with one output follows a direct loss upwards, not down."""
    torch.manual_seed(0)
    inputs, model = torch.randn(60, 4), nn.Linear(4, 1)
    targets = (inputs[:, 0] + 0.3 * torch.randn(60) > 0.8).long()
    objective = named_direct("average_precision", adapt("roc_auc"), {})
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    first = value("roc_auc", model(inputs), targets)
    for _ in range(30):
        optimiser.zero_grad()
        objective(model(inputs), targets).backward()
        optimiser.step()
    assert value("roc_auc", model(inputs), targets) > max(first, 0.9)
