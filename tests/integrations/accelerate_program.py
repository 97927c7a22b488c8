"""What two processes do in the test of Accelerate: one step on a batch of which each holds a half.

Run it with: torchrun --nproc-per-node 2 -m tests.integrations.accelerate_program FILE
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch import nn

import metricgrad as mg
from metricgrad.scale import gather_rows

ROWS, CLASSES = 24, 6


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """All rows of the batch, and their labels."""
    return torch.randn(ROWS, 5, generator=torch.manual_seed(0)), torch.arange(ROWS) % CLASSES


def step(accelerator: Accelerator) -> dict[str, torch.Tensor]:
    """Gradients of one step over the rows of all processes."""
    criterion = mg.RankingLoss(mg.losses.recall_at_k_loss, temperature=0.1)
    torch.manual_seed(1)
    model, loader = accelerator.prepare(
        nn.Linear(5, 3),
        torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(*batch()), batch_size=ROWS // accelerator.num_processes
        ),
    )
    for inputs, labels in loader:
        loss = criterion(gather_rows(model(inputs)), gather_rows(labels))
        accelerator.backward(loss * accelerator.num_processes)  # gradients are averaged over processes
    return {name: value.grad for name, value in accelerator.unwrap_model(model).named_parameters()}


if __name__ == "__main__":
    accelerator = Accelerator(cpu=True)
    gradients = step(accelerator)
    if accelerator.is_main_process:
        save_file(gradients, Path(sys.argv[1]))
    accelerator.end_training()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
