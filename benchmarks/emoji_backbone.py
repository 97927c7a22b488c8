"""Whether the last blocks of the backbone are worth training on the task emoji, from cached activations.

    .venv/bin/python -m benchmarks.emoji_backbone --divisions 1     about ten minutes a division on one core

The frozen head of the task sees averages of 16 blocks. Here the blocks from `--first` on are trained as well: what
enters them is computed once for every drawing and view, so that a step costs these blocks alone. Three arms begin with
the same LDA and have the same batches: the surrogate on the head alone (the task as it is), the surrogate on head and
blocks, SupCon on head and blocks. All runs are on divisions of the development classes: select chooses the step, the
held-out classes are measured once, and the test split takes no part. Blocks and their learning rate are tried by hand
(`--rate`); each try is a row of the table.
"""

import argparse
import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import hardtanh, interpolate

from benchmarks.contests import contest
from metricgrad.metrics import of_ranks, retrieval_ranks
from metricgrad.projection import LDA
from metricgrad.tasks import efficientnet, emoji
from metricgrad.tasks.closed_form_head import ClosedFormHead
from metricgrad.tasks.emoji_features import EmojiFeatures
from metricgrad.tasks.emoji_pictures import load_pictures
from metricgrad.tasks.emoji_views import VIEWS
from metricgrad.tune import Plan
from metricgrad.tune.checkpoint import load_weights
from metricgrad.tune.weights import load_into

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "emoji-backbone.csv"
SIZE, EDGE, ENTERING = 160, 5, 192
"""Of a drawing in pixels; of what enters the last blocks: places along an edge, and channels."""


class TrainedBlocks(nn.Module):
    """Averages of early blocks and the input of the late ones -> embedding; the late blocks can be trained.

    Args:
        blocks: of the backbone, from the first trained one on.
        early: averages of the blocks before them: so many features come first in an input.
        head: of all averages.
    """

    def __init__(self, blocks: Sequence[nn.Module], early: int, head: nn.Module | None) -> None:
        super().__init__()
        self.blocks, self.early, self.head = nn.ModuleList(blocks), early, head

    def forward(self, inputs: Float[Tensor, "item feature"]) -> Float[Tensor, "item dim"]:
        """Return the embeddings; without a head the averages."""
        found = [inputs[:, : self.early]]
        seen = inputs[:, self.early :].unflatten(1, (ENTERING, EDGE, EDGE))
        seen = seen.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            seen = block(seen)
            found.append(seen.mean((2, 3)))
        features = torch.cat(found, 1)
        return features if self.head is None else self.head(features)


class CutOff(nn.Module):
    """A convolution and ReLU6 after it, with a gradient."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, seen: Tensor) -> Tensor:
        """Return what the backbone's own does."""
        return hardtanh(self.convolution(seen), 0.0, 6.0)


def late_blocks(first: int) -> list[nn.Module]:
    """The blocks of the backbone from `first` on, with a gradient."""
    blocks = list(efficientnet.load()._blocks)[first:]
    for block in blocks:
        for name, module in list(block.named_children()):
            if type(module).__name__ == "_CutOff":
                setattr(block, name, CutOff(module.convolution))
        for parameter in block.parameters():
            parameter.requires_grad_(True)
    return blocks


@torch.no_grad()
def entered(network: Any, pictures: UInt8[np.ndarray, "image height width 3"], first: int) -> Tensor:
    """Averages of the blocks before `first`, then what enters it: one row an image."""
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().contiguous()
    images = interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    seen = ((images - 127) / 128).contiguous(memory_format=torch.channels_last)
    seen = network._swish(network._bn0(network._conv_stem(seen)))
    found = []
    for block in list(network._blocks)[:first]:
        seen = block(seen)
        found.append(seen.mean((2, 3)))
    return torch.cat([*found, seen.contiguous().flatten(1)], 1)


def activations(pictures: np.ndarray, first: int) -> Tensor:
    """`entered` of many images, sixteen at a time."""
    network = efficientnet.load()
    with ThreadPoolExecutor(
        torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        parts = [pictures[start : start + 16] for start in range(0, len(pictures), 16)]
        return torch.cat(list(pool.map(lambda part: entered(network, part, first), parts)))


def measured(model: nn.Module, split: Any) -> list[float]:
    """Recall@1 (any relevant), mean average precision and NDCG@10."""
    with torch.no_grad():
        outputs = torch.cat([model.eval()(inputs) for inputs, _ in split])
    ranks = retrieval_ranks(outputs, split.targets)
    rows = of_ranks.hit_at_k(ranks, k=1), of_ranks.average_precision(ranks), of_ranks.ndcg(ranks, k=10)
    return [float(row.nanmean()) for row in rows]


def division_rows(number: int, first: int, rate: float, steps: int) -> list[list[Any]]:
    """Train and measure the arms on one division."""
    options = emoji.Options(development=number)
    task, pictures = emoji.load({"development": number}), load_pictures(None)
    fit_classes = np.concatenate(emoji.classes_of(int(pictures.label.max()) + 1, options))
    viewed = torch.isin(torch.from_numpy(pictures.label), torch.from_numpy(fit_classes)).nonzero()[:, 0]
    views = VIEWS[: options.views - 1]
    drawn = activations(pictures.pictures, first)
    turned = [activations(view.of(pictures.pictures[viewed.numpy()]), first) for view in views]
    splits = emoji.splits_of(pictures, EmojiFeatures("", drawn, torch.stack(turned), viewed), options)
    fit: Any = splits.fit
    early = sum(efficientnet.CHANNELS[:first])
    blocks = late_blocks(first)
    with torch.no_grad():
        averages = TrainedBlocks(blocks, early, None)
        fitted = torch.cat([averages(part) for part in fit.inputs.split(1024)])
    form = LDA(shrinkage=options.shrinkage).fit(fitted, fit.targets)

    def model(trained: bool) -> TrainedBlocks:
        made = TrainedBlocks(late_blocks(first), early, ClosedFormHead(form, dim=options.dim))
        made.blocks.requires_grad_(trained)
        return made

    own, late = dict(task.settings), {"learning_rate": rate}
    contests: list[tuple[bool, list[tuple[str, str, dict[str, Any]]]]] = [
        (False, [("surrogate, head", str(task.method), own)]),
        (
            True,
            [
                ("surrogate, head and blocks", str(task.method), {**own, **late}),
                ("SupCon, head and blocks", "proxy", {**task.proxy_settings, **late}),
            ],
        ),
    ]
    plan = Plan(steps=steps, evaluate_every=10)
    start = measured(model(False), splits.test)
    rows: list[list[Any]] = [[number, first, "", "start", "", *(f"{value:.4f}" for value in start)]]
    for trained, arms in contests:
        changed = replace(task, model=lambda seed, trained=trained: model(trained), splits=splits)
        named = [
            (arm.replace(", ", "-").replace(" ", "-").lower(), method, settings)
            for arm, method, settings in arms
        ]
        folder = ROOT / "runs" / f"emoji-backbone-{number}-{first}-{rate}-{'blocks' if trained else 'head'}"
        found = contest(changed, named, folder, seeds=(0,), plan=plan, test=False)
        select = {row.name: row.select for row in found.table}
        for (arm, *_), (name, *_) in zip(arms, named, strict=True):
            best = model(trained)
            load_into(best, load_weights(found.result.folder / "arms" / f"seed0-{name}-try0.safetensors"))
            values = (f"{value:.4f}" for value in measured(best, splits.test))
            rows.append([number, first, rate if trained else "", arm, f"{select[name]:.4f}", *values])
            print(*rows[-1], sep="  ", flush=True)
    return rows


def main() -> None:
    """Train and measure everything; write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--divisions", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--first", type=int, default=14, help="First block that is trained (12 to 15).")
    parser.add_argument("--rate", type=float, default=1e-4, help="Learning rate where blocks are trained.")
    parser.add_argument("--steps", type=int, default=60)
    chosen = parser.parse_args()
    header = [
        "division",
        "first block",
        "rate",
        "arm",
        "select",
        "held_out_recall@1",
        "held_out_map",
        "held_out_ndcg@10",
    ]
    rows = [
        row
        for number in chosen.divisions
        for row in division_rows(number, chosen.first, chosen.rate, chosen.steps)
    ]
    for row in rows:
        print(*row, sep="  ", flush=True)
    fresh = not TABLE.exists()
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows] if fresh else rows)


if __name__ == "__main__":
    main()
