"""Items that belong together stay in one half: the value that chooses speaks of further groups."""

import pytest
import torch

from metricgrad.decision import cross_fitted, fit_rule
from metricgrad.decision.halves import first_half
from metricgrad.errors import InputError
from metricgrad.metrics import adapt
from metricgrad.tune import ArraySplit, Plan, Splits, tune

SEED = 0


def test_groups_are_whole_and_classes_are_shared() -> None:
    """No group lies on both sides; both halves hold about half of every class."""
    generator = torch.Generator().manual_seed(SEED)
    for sizes in (2, 7, 40):
        groups = torch.randint(400 // sizes, (400,), generator=generator)
        classes = torch.randint(3, (400,), generator=generator)
        half = first_half(classes, groups)
        assert not set(groups[half].tolist()) & set(groups[~half].tolist())
        for number in range(3):
            assert abs(float(half[classes == number].double().mean()) - 0.5) < 0.15
    alone = torch.arange(400)
    assert int(first_half(classes, alone).sum()) in (199, 200, 201)


def _copies() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fifty items, each of which comes eight times: scores that say nothing, each group with a class of its own."""
    generator = torch.Generator().manual_seed(SEED)
    scores = torch.rand(50, generator=generator).repeat_interleave(8)
    classes = (torch.rand(50, generator=generator) < 0.3).long().repeat_interleave(8)
    return scores, classes, torch.arange(50).repeat_interleave(8)


def test_copies_on_both_sides_make_a_rule_look_good() -> None:
    """Without groups the other half holds copies of every item, and the value that chooses is too high."""
    scores, classes, groups = _copies()
    f1 = adapt("f1")

    def value(**settings: torch.Tensor) -> float:
        decided = cross_fitted(scores, classes, "f1", "threshold", **settings)
        return f1.summarise(f1.measure(decided, classes))

    in_sample = f1.summarise(f1.measure(fit_rule(scores, classes, "f1").rule.decide(scores), classes))
    assert value() == pytest.approx(in_sample, abs=0.02)
    assert value(groups=groups) < value() - 0.01


def test_groups_of_another_length_are_refused() -> None:
    """One label per item."""
    scores, classes, groups = _copies()
    with pytest.raises(InputError, match="399 labels"):
        fit_rule(scores, classes, "f1", groups=groups[1:])


def test_a_run_keeps_the_groups_of_select_together() -> None:
    """The value on select is that of whole groups."""
    scores, classes, groups = _copies()
    logits = torch.stack([torch.zeros_like(scores), scores.logit()], 1)
    select = ArraySplit(logits, classes)
    found = {}
    for name, given in (("alone", None), ("grouped", {"select": groups})):
        run = tune(
            torch.nn.Linear(2, 2),
            Splits(ArraySplit(logits + 0.5, classes), select, groups=given),
            metric="f1",
            method="surrogate:class_weighted_cross_entropy",
            plan=Plan(steps=1, resamples=200),
            observer=lambda event: None,
        )
        event = next(one for one in run.events if one["event"] == "chosen")
        found[name] = event["select"]
    assert found["grouped"] != found["alone"]
