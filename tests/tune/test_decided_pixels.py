"""A rule for the pixels of images: fitted for mean IoU in every arm, each image by the rule of the other half."""

import pytest
import torch
from torch import Tensor, nn

import metricgrad as mg
from metricgrad.decision import ClassBiases, fit_rule
from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.metrics.table_metric import TableMetric
from metricgrad.tune import ArraySplit, Plan, Splits
from metricgrad.tune.decidable import as_outputs, decided_by
from metricgrad.tune.decided_pixels import marked_pixels, pixel_scores, pixels_of
from metricgrad.tune.deciding import Deciding
from metricgrad.tune.outputs import Outputs
from metricgrad.tune.pixel_rules import MOST


def scenes(images: int, seed: int = 0, *, ignored: int = -100) -> tuple[Tensor, Tensor]:
    """Logits [image, 3, 6, 5] that are right about classes, whose third one is rare, and classes of the pixels."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.tensor([0.8, 0.15, 0.05])
    truth = torch.multinomial(shares, images * 30, replacement=True, generator=generator).reshape(
        images, 6, 5
    )
    signal = nn.functional.one_hot(truth, 3).movedim(-1, 1) * 1.5
    logits = signal + torch.randn(signal.shape, generator=generator) + shares.log()[:, None, None]
    truth[:, 0, 0] = ignored
    return logits, truth


def test_each_counted_pixel_is_an_item_of_its_image() -> None:
    """Rows of scores come picture by picture, and go back to their places."""
    logits, truth = scenes(4)
    found = pixels_of(Outputs(logits, truth), -100)
    assert found is not None
    assert found.scores.shape == (4 * 29, 3)
    assert found.images.bincount().tolist() == [29] * 4
    torch.testing.assert_close(found.scores[29 + 3], logits[1, :, 0, 4])
    whole = found.arranged(found.targets)
    assert torch.equal(whole[truth != -100], truth[truth != -100])
    assert bool((whole[truth == -100] == 0).all())


@pytest.mark.parametrize("shape", [(4, 6, 5), (4, 1, 6, 5)])
def test_one_score_for_each_pixel(shape: tuple[int, ...]) -> None:
    """Of two classes one score is enough, with an axis of its own or without."""
    scores = torch.arange(120.0).reshape(shape)
    truth = (torch.arange(120).reshape(4, 6, 5) > 60).long()
    found = pixels_of(Outputs(scores, truth), -100)
    assert found is not None
    assert torch.equal(found.scores, torch.arange(120.0))


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.zeros(4, 3), torch.zeros(4)),  # samples
        (torch.zeros(4, 3, 6, 5), torch.zeros(4)),  # a class for each picture
        (torch.zeros(4, 3, 6, 5), torch.full((4, 6, 5), 3)),  # a class without a score
        (torch.zeros(4, 3, 6, 5), torch.full((4, 6, 5), 0.5)),  # shares
        (torch.zeros(4, 3, 6, 5), [0, 1, 2, 1]),
        (torch.zeros(4, 6, 5, dtype=torch.long), torch.zeros(4, 6, 5)),  # decided already
    ],
)
def test_anything_else_is_none(outputs: Tensor, targets: object) -> None:
    """No rule for pixels applies to other outputs or targets."""
    assert pixels_of(Outputs(outputs, targets), -100) is None


def test_of_another_number_of_classes_a_rule_is_refused() -> None:
    """A rule that was fitted to four classes cannot decide three."""
    with pytest.raises(InputError, match="scores of 3 classes; expected 4"):
        pixel_scores("decision rule", torch.zeros(2, 3, 6, 5), 4)


def test_a_class_that_nobody_decides_is_still_one_of_the_classes() -> None:
    """Statistics have the same columns, so that arms can be compared."""
    logits, truth = scenes(3)
    metric, nothing = adapt("mean_iou"), torch.zeros(3, 6, 5, dtype=torch.long)
    marked = marked_pixels(nothing, logits)
    rows = metric.measure(marked, truth)
    assert rows.shape == metric.measure(logits, truth).shape
    torch.testing.assert_close(metric.summarise(rows), metric.summarise(metric.measure(nothing, truth)))


@pytest.mark.parametrize("name", ["mean_iou", "dice", "mean_iou:average=weighted"])
def test_of_flat_pixels_it_is_fit_rule(name: str) -> None:
    """Cross-fitted by image, the value is that of the metric on what was decided."""
    logits, truth = scenes(240)
    metric, found = adapt(name), Outputs(*scenes(240))
    fitted = Deciding(metric, "auto").fitted(found)
    assert fitted is not None
    kept = truth != -100
    flat, images = logits.movedim(1, -1)[kept], torch.arange(240).repeat_interleave(29)
    rule = ClassBiases(bags=1, sweeps=2)
    same = fit_rule(flat, truth[kept], TableMetric(metric, 3), rule, inputs="logits", groups=images)
    assert torch.equal(fitted.decisions[kept], same.decisions)
    assert fitted.cross_fitted == same.cross_fitted > fitted.argmax_value + 0.005
    decided = as_outputs(metric, found._replace(decided=fitted.decisions))
    assert float(metric.summarise(metric.measure(decided, truth))) == pytest.approx(same.cross_fitted)


def test_pixels_that_do_not_count_change_nothing() -> None:
    """Whatever their scores are."""
    logits, truth = scenes(160, ignored=255)
    metric = adapt("mean_iou:ignore_index=255")
    fitted = Deciding(metric, "auto").fitted(Outputs(logits, truth))
    changed = torch.where((truth == 255)[:, None], 50.0, logits)
    other = Deciding(metric, "auto").fitted(Outputs(changed, truth))
    assert fitted is not None and other is not None
    assert torch.equal(fitted.decisions, other.decisions)


def test_no_image_is_decided_by_a_rule_that_saw_a_part_of_it() -> None:
    """With other targets for one image, only decisions of the other half may change."""
    logits, truth = scenes(160)
    first = Deciding(adapt("mean_iou"), "biases").fitted(Outputs(logits, truth))
    turned = truth.clone()
    turned[7, 1:] = 2 - turned[7, 1:]
    second = Deciding(adapt("mean_iou"), "biases").fitted(Outputs(logits, turned))
    assert first is not None and second is not None
    assert torch.equal(first.decisions[7], second.decisions[7])


@pytest.mark.parametrize("columns", [1, 2])
def test_two_classes(columns: int) -> None:
    """One score per pixel, or two: the rule is a cut, and decides all of select again with the value it was given."""
    logits, truth = scenes(240)
    of_two = (logits[:, 2:] - logits[:, :1], (truth == 2).long())
    if columns == 2:
        of_two = (torch.cat([torch.zeros_like(of_two[0]), of_two[0]], 1), of_two[1])
    metric = adapt("mean_iou:threshold=0") if columns == 1 else adapt("mean_iou")
    deciding, found = Deciding(metric, "auto"), Outputs(*of_two)
    fitted = deciding.fitted(found)
    assert fitted is not None
    assert fitted.rule.name == "threshold"
    assert fitted.cross_fitted > fitted.argmax_value
    again = deciding.by(fitted.rule, found)
    assert again.decided is not None
    assert again.decided.shape == of_two[1].shape
    value = metric.summarise(metric.measure(as_outputs(metric, again), found.targets))
    assert float(value) == pytest.approx(fitted.value)


def test_a_fit_looks_at_a_part_of_many_pixels_and_decides_all() -> None:
    """The same part every time, near the rule of all pixels."""
    logits, truth = scenes(240)
    flat, y = logits.movedim(1, -1).flatten(0, -2), truth.flatten().clamp(min=0)
    few = fit_rule(flat, y, "mean_iou", "slope", inputs="logits", most=600)
    whole = fit_rule(flat, y, "mean_iou", "slope", inputs="logits")
    assert len(few.decisions) == len(y) < MOST
    assert torch.equal(
        few.decisions, fit_rule(flat, y, "mean_iou", "slope", inputs="logits", most=600).decisions
    )
    assert not torch.equal(few.decisions, whole.decisions)
    assert abs(few.cross_fitted - whole.cross_fitted) < 0.02
    assert few.argmax_value == whole.argmax_value


@pytest.mark.parametrize("most", [0, -3, 1.5, True])
def test_a_number_of_items_that_is_none_is_refused(most: object) -> None:
    """Zero, negative, broken, or a truth value."""
    with pytest.raises(InputError, match="most"):
        fit_rule([[0.2, 0.8]], [1], "f1", most=most)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def result() -> mg.Result:
    """Two arms and a start of a network that shows its input: right about the classes, shy of the rare one."""
    parts = [ArraySplit(*scenes(count, seed)) for seed, count in enumerate((240, 240, 240))]
    network = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        network.weight.copy_(torch.eye(3)[:, :, None, None])
        network.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    return mg.tune(
        network,
        Splits(*parts),
        metric="mean_iou",
        proxy=nn.functional.cross_entropy,
        method="surrogate:lovasz_softmax",
        plan=Plan(steps=4, evaluate_every=2),
    )


def test_every_arm_has_a_rule(result: mg.Result) -> None:
    """Start and control included; on test it beats argmax everywhere."""
    rules = [event for event in result.events if event["event"] == "rule_fitted"]
    tested = [event for event in result.events if event["event"] == "tested"]
    assert [rule["rule"] for rule in rules] == ["biases"] * 3
    assert {one["arm"] for one in tested} == {"start", "continued", "tuned"}
    for one in tested:
        assert one["value"] > one["argmax"] + 0.01


def test_it_predicts_classes_of_pixels(result: mg.Result) -> None:
    """By the rule, not by argmax."""
    pictures, truth = scenes(5, 9)
    decided, network = result.predict(pictures), result.model
    assert network is not None
    assert decided.shape == truth.shape
    assert not torch.equal(decided, network(pictures).argmax(1))


def test_cut_points_are_refused() -> None:
    """They decide one number per sample."""
    parts = [ArraySplit(*scenes(20, seed)) for seed in range(3)]
    with pytest.raises(InputError, match=r"decision is 'cuts'.*image, class, row, column"):
        mg.tune(
            nn.Conv2d(3, 3, 1),
            Splits(*parts),
            metric="mean_iou",
            proxy=nn.functional.cross_entropy,
            method="surrogate:lovasz_softmax",
            plan=Plan(steps=2),
            decision="cuts",
        )


def test_a_rule_decides_the_pixels_of_any_size() -> None:
    """Also with more axes than an image has."""
    logits, truth = scenes(240)
    fitted = Deciding(adapt("mean_iou"), "slope").fitted(Outputs(logits, truth))
    assert fitted is not None
    other = torch.randn(2, 3, 9, 4, 2)
    rows = decided_by(fitted.rule, other.movedim(1, -1).flatten(0, -2))
    assert torch.equal(decided_by(fitted.rule, other), rows.reshape(2, 9, 4, 2))


def test_a_pool_without_a_limit_is_fitted_whole() -> None:
    """Of every kind: classes, ordered classes as one number, and labels."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 3, (900,), generator=generator)
    number = 0.5 * truth + 0.3 * torch.randn(900, generator=generator)
    marks = torch.randint(0, 2, (900, 2), generator=generator)
    odds = marks - 1.5 + torch.randn(900, 2, generator=generator)
    for scores, true, metric in (
        (number, truth, "quadratic_kappa"),
        (odds, marks, "multilabel_f1_macro"),
        (odds, marks[:, 1], "macro_f1"),
    ):
        whole, limited = (fit_rule(scores, true, metric, most=most) for most in (None, 900))
        few = fit_rule(scores, true, metric, most=60)
        assert torch.equal(whole.decisions, limited.decisions)
        assert not torch.equal(whole.decisions, few.decisions)
        assert whole.value >= few.value
