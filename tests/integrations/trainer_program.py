"""What the tests of gathering run in one process and in two: a few steps of a trainer on the same global batches.

Run it with: torchrun --nproc-per-node 2 -m tests.integrations.trainer_program FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch import Tensor, distributed, nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from metricgrad.integrations.sentence_transformers import SentenceLoss
from metricgrad.integrations.transformers import loss_for_trainer

CASES = ("labels", "pairs", "triplets in parts of 2", "classes", "classes in parts of 2")
GATHERED, APART = "gathered", "apart"
ROWS, BATCH = 64, 16
LOSS = {"loss": "recall_at_k", "k": (1, 2), "temperature": 0.2}
PLAIN = {
    "max_steps": 3,
    "learning_rate": 0.5,
    "optim": "sgd",
    "lr_scheduler_type": "constant",
    "max_grad_norm": 1e9,
    "report_to": [],
    "save_strategy": "no",
    "use_cpu": True,
    "disable_tqdm": True,
    "logging_steps": 1,
}


class Rows(nn.Module):
    """The first module of a model: a text is the number of a row; the rows are turned, in float64."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.turn = nn.Parameter(torch.randn(6, 4, generator=generator, dtype=torch.float64))
        self.rows = torch.randn(4 * ROWS, 6, generator=generator, dtype=torch.float64)

    def preprocess(self, inputs: list[str], **settings: Any) -> dict[str, Tensor]:
        """The numbers, under a name by which the trainer knows a column."""
        return {"input_ids": torch.tensor([int(text) for text in inputs])}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Look the rows up and turn them."""
        return features | {"sentence_embedding": self.rows[features["input_ids"]] @ self.turn}


def texts(first: int) -> list[str]:
    """Numbers of rows as texts."""
    return [str(first + number) for number in range(ROWS)]


def sentences(columns: int, gather: bool, small: dict[str, Any], folder: Path) -> SentenceTransformerTrainer:
    """The trainer of sentence-transformers on labelled texts, pairs or triplets."""
    model = SentenceTransformer(modules=[Rows()], device="cpu")
    held: dict[str, Any] = {f"column {number}": texts(ROWS * number) for number in range(columns)}
    if columns == 1:
        held["label"] = [number % 5 for number in range(ROWS)]
    return SentenceTransformerTrainer(
        model,
        SentenceTransformerTrainingArguments(str(folder), **PLAIN, **small),
        train_dataset=Dataset.from_dict(held),
        loss=SentenceLoss(model, **LOSS, gather_across_devices=gather),
    )


def classes(gather: bool, small: dict[str, Any], folder: Path) -> Trainer:
    """The Trainer of transformers, its loss on the logits, in float64."""
    torch.manual_seed(0)
    shape = dict(
        vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    still = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    network = BertForSequenceClassification(BertConfig(**shape, **still, num_labels=4)).double()
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 4, (ROWS,), generator=generator)
    ids = torch.randint(0, 10, (ROWS, 6), generator=generator) + 10 * labels[:, None]
    return Trainer(
        network,
        TrainingArguments(str(folder), **PLAIN, **small),
        train_dataset=[{"input_ids": text, "labels": label} for text, label in zip(ids, labels, strict=True)],
        compute_loss_func=loss_for_trainer(**LOSS, gather_across_devices=gather),
    )


def run(folder: Path, case: str, gather: bool, processes: int) -> None:
    """Train, and write the weights and the losses that were logged; the folder is made."""
    folder.mkdir(exist_ok=True)
    name, _, more = case.partition(" in parts of ")
    parts = int(more or 1)
    small = {
        "per_device_train_batch_size": BATCH // processes // parts,
        "gradient_accumulation_steps": parts,
    }
    if name == "classes":
        trainer = classes(gather, small, folder)
    else:
        trainer = sentences({"labels": 1, "pairs": 2, "triplets": 3}[name], gather, small, folder)
    trainer.train()
    if trainer.is_world_process_zero():
        state = {key: value.detach().clone() for key, value in trainer.model.named_parameters()}
        save_file(state, folder / "weights.safetensors")
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        (folder / "losses.json").write_text(json.dumps(losses), encoding="utf-8")


if __name__ == "__main__":
    for case in CASES:
        for way in (GATHERED, APART):
            run(Path(sys.argv[1], f"{case}, {way}"), case, way == GATHERED, processes=2)
    distributed.destroy_process_group()
