"""Whether the last blocks of the backbone are worth training on the task emoji, from cached activations.

    .venv/bin/python -m benchmarks.emoji_backbone     two divisions, about a quarter of an hour each on one core

The frozen head of the task sees averages of 16 blocks. Here the blocks from `--first` on are trained as well: what
enters them is computed once for every drawing and view, so that a step costs these blocks alone. All arms begin with
the same LDA: the surrogate on the head alone (the task as it is), then surrogate and SupCon on head and blocks at each
of `--rates` in the same batches, and the surrogate in batches of all fit classes by staged backward, at the first
rate. All runs are on divisions of the development classes: select chooses the step, the held-out classes are measured
once, and the test split takes no part. The last rows put the divisions together: the difference in mAP to the head
alone, with an interval over held-out classes.
"""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import hardtanh, interpolate

from benchmarks.contests import contest, write
from metricgrad.differences import Differences, Grouping
from metricgrad.metrics import adapt, of_ranks, retrieval_ranks
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
CHUNK = 1024
"""Rows that go through the blocks at once where a batch holds all classes."""
HEAD = "surrogate, head"
HEADER = ["division", "first block", "arm", "select", "held_out_recall@1", "held_out_map", "held_out_ndcg@10"]
HEADER += ["map_minus_head", "low", "high"]


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


def per_query(model: nn.Module, split: Any) -> Tensor:
    """Recall@1 (any relevant), average precision and NDCG@10 of every query [query, 3]."""
    with torch.no_grad():
        outputs = torch.cat([model.eval()(inputs) for inputs, _ in split])
    ranks = retrieval_ranks(outputs, split.targets)
    rows = of_ranks.hit_at_k(ranks, k=1), of_ranks.average_precision(ranks), of_ranks.ndcg(ranks, k=10)
    return torch.stack([row.double() for row in rows], 1)


def measured(model: nn.Module, split: Any) -> list[float]:
    """The means of the three."""
    return per_query(model, split).nanmean(0).tolist()


class Division:
    """One division of the development classes, with what enters the late blocks.

    Args:
        number: of the division.
        first: block that is trained, and all after it.
    """

    def __init__(self, number: int, first: int) -> None:
        self.number, self.first = number, first
        options = emoji.Options(development=number)
        self.task, pictures = emoji.load({"development": number}), load_pictures(None)
        fit_classes = np.concatenate(emoji.classes_of(int(pictures.label.max()) + 1, options))
        viewed = torch.isin(torch.from_numpy(pictures.label), torch.from_numpy(fit_classes)).nonzero()[:, 0]
        drawn = activations(pictures.pictures, first)
        turned = [
            activations(view.of(pictures.pictures[viewed.numpy()]), first)
            for view in VIEWS[: options.views - 1]
        ]
        features = EmojiFeatures("", drawn, torch.stack(turned), viewed)
        self.splits, self.dim = emoji.splits_of(pictures, features, options), options.dim
        self.early = sum(efficientnet.CHANNELS[:first])
        fit: Any = self.splits.fit
        with torch.no_grad():
            averages = TrainedBlocks(late_blocks(first), self.early, None)
            fitted = torch.cat([averages(part) for part in fit.inputs.split(CHUNK)])
        self.form = LDA(shrinkage=options.shrinkage).fit(fitted, fit.targets)
        self.rows = int((torch.bincount(fit.targets) > 0).sum()) * fit.samples_per_class

    def model(self, trained: bool = True) -> TrainedBlocks:
        """The backbone's late blocks and the head that is the closed form."""
        made = TrainedBlocks(late_blocks(self.first), self.early, ClosedFormHead(self.form, dim=self.dim))
        made.blocks.requires_grad_(trained)
        return made

    def contests(
        self, rates: Sequence[float], steps: int
    ) -> Iterator[tuple[str, bool, Plan, dict[str, tuple[str, dict[str, Any]]]]]:
        """Name, whether blocks are trained, plan and arms of every contest."""
        method, own = str(self.task.method), dict(self.task.settings)
        plan = Plan(steps=steps, evaluate_every=10)
        yield "head", False, plan, {HEAD: (method, own)}
        for rate in rates:
            late = {"learning_rate": rate}
            arms = {
                f"surrogate, head and blocks, rate {rate}": (method, {**own, **late}),
                f"SupCon, head and blocks, rate {rate}": ("proxy", {**self.task.proxy_settings, **late}),
            }
            yield f"blocks-{rate}", True, plan, arms
        large = Plan(steps=steps // 3, evaluate_every=5, batch=self.rows, chunk=CHUNK)
        arm = f"surrogate, head and blocks, rate {rates[0]}, {self.rows} rows a batch"
        yield "staged", True, large, {arm: (method, {**own, "learning_rate": rates[0]})}

    def found(self, rates: Sequence[float], steps: int) -> dict[str, tuple[str, Tensor]]:
        """Arm -> its value on select, and its values of every held-out query; the start first."""
        values = {"start": ("", per_query(self.model(), self.splits.test))}
        for name, trained, plan, arms in self.contests(rates, steps):
            changed = replace(
                self.task, model=lambda seed, trained=trained: self.model(trained), splits=self.splits
            )
            spelt = {arm: arm.replace(", ", "-").replace(" ", "-").lower() for arm in arms}
            listed = [(spelt[arm], method, settings) for arm, (method, settings) in arms.items()]
            folder = ROOT / "runs" / f"emoji-backbone-{self.number}-{self.first}-{name}-{steps}"
            contested = contest(changed, listed, folder, seeds=(0,), plan=plan, test=False)
            select = {row.name: row.select for row in contested.table}
            for arm, short in spelt.items():
                best, weights = self.model(trained), f"seed0-{short}-try0.safetensors"
                load_into(best, load_weights(contested.result.folder / "arms" / weights))
                values[arm] = f"{select[short]:.4f}", per_query(best, self.splits.test)
                print(self.number, arm, *values[arm][1].nanmean(0).tolist(), sep="  ", flush=True)
        return values


def together(first: int, found: Sequence[dict[str, tuple[str, Tensor]]], classes: Tensor) -> list[list[Any]]:
    """Rows over all divisions: means, and mAP minus that of the head alone with an interval over classes."""
    pooled = {arm: torch.cat([values[arm][1] for values in found]) for arm in found[0]}
    statistics = {arm: [values[:, 1:2]] for arm, values in pooled.items()}
    compared = Differences(adapt("average_precision"), statistics, Grouping(classes, "class"))
    beside = {one.arm: one.interval for one in compared.against(HEAD)}
    rows = []
    for arm, values in pooled.items():
        ends = [beside[arm].value, beside[arm].low, beside[arm].high] if arm in beside else []
        means = [f"{value:.4f}" for value in values.nanmean(0).tolist()]
        rows.append(["all", first, arm, "", *means, *(f"{end:+.4f}" for end in ends if end is not None)])
    return rows


def main() -> None:
    """Train and measure everything; write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--divisions", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--first", type=int, default=14, help="First block that is trained (12 to 15).")
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=[1e-5, 1e-4],
        help="Learning rates where blocks are trained.",
    )
    parser.add_argument("--steps", type=int, default=60)
    chosen = parser.parse_args()
    found, rows, classes = [], [], []
    for number in chosen.divisions:
        division = Division(number, chosen.first)
        found.append(division.found(chosen.rates, chosen.steps))
        test: Any = division.splits.test
        classes.append(test.targets)
        for arm, (select, values) in found[-1].items():
            means = [f"{value:.4f}" for value in values.nanmean(0).tolist()]
            rows.append([number, chosen.first, arm, select, *means])
    rows += together(chosen.first, found, torch.cat(classes))
    write(TABLE, HEADER, [[*row, *[""] * (len(HEADER) - len(row))] for row in rows])


if __name__ == "__main__":
    main()
