"""The real Trainer with our losses and metrics, and `tune` with networks of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, BertModel, Trainer, TrainingArguments

import metricgrad as mg
from metricgrad.decision import fit_rule
from metricgrad.errors import InputError
from metricgrad.integrations.transformers import OutputOf, loss_for_trainer, metrics_for_trainer
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("transformers")
SHAPE = dict(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)


def network(**changes: Any) -> BertForSequenceClassification:
    """A tiny BERT without dropout."""
    torch.manual_seed(0)
    still = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BertForSequenceClassification(BertConfig(**SHAPE, **still, num_labels=3, **changes))


def rows(count: int, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Texts of three classes, each with words of its own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    ids = torch.randint(0, 13, (count, 6), generator=generator) + 13 * labels[:, None]
    return [{"input_ids": text, "labels": label} for text, label in zip(ids, labels, strict=True)]


def trained(folder: Path, loss: Any, **arguments: Any) -> tuple[Trainer, dict[str, torch.Tensor]]:
    """A network after two steps of plain gradient descent, and its weights."""
    settings = {"max_steps": 2, "learning_rate": 0.1, "optim": "sgd", "lr_scheduler_type": "constant"}
    silent = {"report_to": [], "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    trainer = Trainer(
        network(),
        TrainingArguments(str(folder), **{**settings, **silent, **arguments}),
        train_dataset=rows(32),
        eval_dataset=rows(30, seed=1),
        compute_loss_func=loss,
        compute_metrics=metrics_for_trainer("macro_f1", "accuracy"),
    )
    trainer.train()
    return trainer, {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def test_the_loss_is_that_of_a_plain_loop(tmp_path: Path):
    """Focal loss with gamma 0 is cross-entropy: the Trainer's own loss gives the same weights."""
    _, ours = trained(tmp_path, loss_for_trainer("focal", gamma=0.0), per_device_train_batch_size=8)
    _, theirs = trained(tmp_path, None, per_device_train_batch_size=8)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("share", [1, 2, 4])
def test_accumulation_equals_the_large_batch(tmp_path: Path, share: int):
    """The Trainer divides nothing by the number of small batches: the loss must do it."""
    loss = loss_for_trainer(mg.losses.focal_loss)
    _, whole = trained(tmp_path, loss, per_device_train_batch_size=8, max_grad_norm=1e9)
    _, parts = trained(
        tmp_path,
        loss,
        per_device_train_batch_size=8 // share,
        gradient_accumulation_steps=share,
        max_grad_norm=1e9,
    )
    torch.testing.assert_close(parts, whole)


def test_metrics_are_those_of_the_predictions(tmp_path: Path):
    """Trainer.evaluate gives the exact metrics of what Trainer.predict returns."""
    trainer, _ = trained(tmp_path, loss_for_trainer("soft_counts"), max_steps=1)
    values, predicted = trainer.evaluate(), trainer.predict(rows(30, seed=1))
    accuracy = (predicted.predictions.argmax(1) == predicted.label_ids).mean()
    assert values["eval_accuracy"] == pytest.approx(accuracy)
    macro = mg.metrics.metric_by_name("macro_f1")
    measured = macro.measure(torch.tensor(predicted.predictions), torch.tensor(predicted.label_ids))
    assert values["eval_macro_f1"] == pytest.approx(macro.summarise(measured))


@pytest.mark.parametrize("method", ["direct:multiclass", "surrogate:class_weighted_cross_entropy", "auto"])
def test_tune_takes_a_network(tmp_path: Path, method: str):
    """The logits are read from its ModelOutput, padded batches are given by name, the tuned network can be saved."""

    def unpack(batch: dict[str, torch.Tensor]):
        return {"input_ids": batch["input_ids"]}, batch["labels"]

    result = mg.tune(
        OutputOf(network()),
        mg.Splits(*(DataLoader(rows(48, seed), batch_size=16) for seed in (0, 1, 2)), unpack=unpack),
        metric="macro_f1",
        proxy=torch.nn.CrossEntropyLoss(),
        method=method,
        plan={"steps": 3},
        observer=lambda event: None,
    )
    assert result.verdict in {"gain", "no evidence", "worse"}
    result.model.network.save_pretrained(tmp_path / "tuned")
    again = BertForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
    ids = torch.stack([row["input_ids"] for row in rows(5)])
    torch.testing.assert_close(again(ids).logits, result.model.eval()({"input_ids": ids}))


def logits_of(outputs: Any, targets: torch.Tensor) -> float:
    """A metric of the user that wants a tensor."""
    return float((outputs.argmax(1) == targets).float().mean())


def loss_of(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
    """A loss of the user that reads the part itself."""
    return torch.nn.functional.cross_entropy(outputs.logits, targets)


OWN = {"metric": logits_of, "higher_is_better": True, "method": "surrogate:slope"}


@pytest.mark.parametrize(
    ("arguments", "who"),
    [
        ({"metric": "macro_f1"}, "tune: the network returns"),
        ({"metric": "macro_f1", "method": "direct:multiclass"}, "macro_f1: the network returns"),
        ({"metric": "macro_f1", "methods": ["direct:multiclass"]}, "macro_f1: the network returns"),
        (
            OWN | {"metric": lambda outputs, targets: 0.0},
            "the loss CrossEntropyLoss: it raised TypeError.*was given",
        ),
        (
            OWN | {"metric": lambda outputs, targets: 0.0, "proxy": loss_of},
            "surrogate:slope: the network returns",
        ),
        (OWN | {"proxy": loss_of}, "logits_of: it raised AttributeError.*The outputs are"),
    ],
)
def test_a_bare_model_output_names_its_parts(arguments: dict[str, Any], who: str):
    """Without OutputOf: one sentence with the parts that came and how one is taken, wherever it is noticed."""
    splits = mg.Splits(
        *(DataLoader(rows(16, seed), batch_size=8) for seed in (0, 1)),
        unpack=lambda batch: ({"input_ids": batch["input_ids"]}, batch["labels"]),
    )
    run = mg.compare if "methods" in arguments else mg.tune
    given = {"proxy": torch.nn.CrossEntropyLoss(), "plan": {"steps": 1}, "observer": lambda event: None}
    with pytest.raises(InputError, match=who) as caught:
        run(network(output_hidden_states=True), splits, **(given | arguments))
    said = str(caught.value)
    assert "a SequenceClassifierOutput of logits, hidden_states" in said
    assert said.endswith("Take one part: metricgrad.integrations.transformers.OutputOf(network, 'logits').")


def test_a_rule_of_a_bare_model_output_names_its_parts():
    """Several parts with a row per item: all of them are named, tuples of layers are not."""
    ids, labels = (torch.stack([row[name] for row in rows(12)]) for name in ("input_ids", "labels"))
    outputs = BertModel(BertConfig(**SHAPE))(ids, output_hidden_states=True)
    with pytest.raises(
        InputError, match=r"fit_rule: scores are a BaseModelOutput.* of last_hidden_state, pooler_"
    ) as caught:
        fit_rule(outputs, labels, "macro_f1")
    assert str(caught.value).endswith("OutputOf(network, 'last_hidden_state'), or 'pooler_output'.")


def test_a_metric_of_the_user_gets_the_whole_output():
    """Nothing is taken out in silence: who can read it, reads it."""
    seen = []

    def metric(outputs: Any, targets: Any) -> float:
        seen.append(type(outputs).__name__)
        return logits_of(outputs.logits, targets)

    labels = torch.arange(6) % 3
    with torch.no_grad():
        outputs = network()(torch.stack([row["input_ids"] for row in rows(6)]))
    record = mg.metrics.adapt(metric, higher_is_better=True)
    assert record.summarise(record.measure(outputs, labels)) == logits_of(outputs.logits, labels)
    assert seen == ["SequenceClassifierOutput"]


def test_mistakes_are_named():
    """A part that is not there, a batch without labels, a loss that must be told more."""
    ids = torch.zeros(2, 4, dtype=torch.long)
    with pytest.raises(
        InputError, match="a SequenceClassifierOutput of logits; expected a part 'pooler_output'"
    ):
        OutputOf(network(), "pooler_output")(ids)
    with pytest.raises(InputError, match="no labels"):
        loss_for_trainer("focal")(network()(ids), None)
    with pytest.raises(InputError, match="asks for facts of a run"):
        loss_for_trainer("expected_cost")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/transformers.md is a program; its loss raises both metrics above chance."""
    page = run_page("transformers.md", tmp_path, monkeypatch)
    assert page.values["eval_macro_f1"] > 0.5
    assert page.recall > 0.3
    assert page.result.verdict in {"gain", "no evidence", "worse"}
