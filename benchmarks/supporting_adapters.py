"""Rotations beside other ways to move less of a network, and how many of them are needed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmarks.supporting_parts import (
    Part,
    Parts,
    both,
    difference,
    digits,
    macro_f1,
    mean,
    network,
    soft_macro_f1,
    started,
    train,
    write,
)
from metricgrad.adapters import (
    HardConcreteGate,
    Rotation,
    attach_orthogonal_adapter,
    prune_by_swarms,
    prune_greedily,
)
from metricgrad.tune.plan import trainable_parameters


class LowRank(nn.Module):
    """W + B A, from W on."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / rank**0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The sum."""
        return weight + self.up @ self.down


def moved(model: nn.Sequential, what: str) -> list[Tensor]:
    """The parameters of an arm."""
    if what == "LoRA":
        for place in (0, 2):
            layer: Any = model[place]
            layer.requires_grad_(False)
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, 10))
        return [value for value in model.parameters() if value.requires_grad]
    return list(trainable_parameters(model, what).values())


def orthogonal(seeds: int = 10) -> None:
    """Macro F1 after more training of a network: what may move, by the surrogate and by the proxy."""
    objectives = {"surrogate": soft_macro_f1, "proxy": nn.functional.cross_entropy}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    counts: dict[str, int] = {}
    for seed in range(seeds):
        parts = digits(seed)
        start = started(network, parts, seed)
        weights = start.state_dict()
        found.setdefault(("start", "-"), []).append(both(start, parts))
        for what in ("all", "LoRA", "orthogonal", "bias"):
            for name, loss in objectives.items():
                tries = []
                for rate in (0.001, 0.003, 0.01, 0.03):
                    torch.manual_seed(seed)
                    model = network()
                    model.load_state_dict(weights)
                    parameters = moved(model, what)
                    counts[what] = sum(value.numel() for value in parameters)
                    tries.append(train(model, parameters, loss, parts, macro_f1, rate=rate, steps=150))
                    if what == "LoRA":
                        tries[-1] = (tries[-1][0], plain(tries[-1][1]))
                model = network()
                model.load_state_dict(max(tries, key=lambda one: one[0])[1])
                found.setdefault((what, name), []).append(both(model, parts))
    rows, control = [], [held for _, held in found["all", "proxy"]]
    for (what, name), values in found.items():
        held = [one for _, one in values]
        same, lora = (
            difference(held, [one for _, one in found[other]]) if other in found else (0.0, 0.0)
            for other in ((what, "proxy"), ("LoRA", name))
        )
        rows.append(
            {
                "moves": what,
                "loss": name,
                "parameters": counts.get(what, 0),
                "held_out": mean(held),
                "gap": mean([fit - one for fit, one in values]),
                "over_same_by_proxy": same[0],
                "error": same[1],
                "over_lora": lora[0],
                "error_over_lora": lora[1],
                "over_all_by_proxy": difference(held, control)[0],
                "error_over_all": difference(held, control)[1],
            }
        )
    write("orthogonal", rows)


def plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the network with LoRA added to its weights."""
    own = {name: value for name, value in state.items() if "parametrizations" not in name}
    for place in (0, 2):
        kept = f"{place}.parametrizations.weight."
        own[f"{place}.weight"] = state[f"{kept}original"] + state[f"{kept}0.up"] @ state[f"{kept}0.down"]
    return own


class Blocks:
    """The rotations of a tuned network, a block of eight inputs each as a group."""

    def __init__(self, model: nn.Sequential) -> None:
        self.model = model
        self.layers = [part for part in model.modules() if isinstance(part, Rotation)]
        self.tuned = [part.skew.detach().clone() for part in self.layers]
        self.count = sum(part.numel() // 28 for part in self.tuned)

    @torch.no_grad()
    def put(self, gains: Tensor) -> nn.Sequential:
        """Multiply each block by its gain: 0 is the start."""
        first = 0
        for layer, tuned in zip(self.layers, self.tuned, strict=True):
            last = first + tuned.numel() // 28
            layer.skew.copy_(tuned * gains[first:last].float().repeat_interleave(28))
            first = last
        return self.model

    def value(self, part: Part, gains: Tensor) -> float:
        """The exact metric with these gains."""
        with torch.no_grad():
            return macro_f1(self.put(gains)(part[0]), part[1]).item()

    def sizes(self) -> Tensor:
        """The norm of each block."""
        return torch.cat([part.view(-1, 28).norm(dim=1) for part in self.tuned])


def bootstrap_error(blocks: Blocks, part: Part) -> float:
    """Of the metric with all blocks."""
    with torch.no_grad():
        logits = blocks.put(torch.ones(blocks.count))(part[0])
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(200):
        rows = torch.randint(len(logits), (len(logits),), generator=generator)
        values.append(macro_f1(logits[rows], part[1][rows]).item())
    return torch.tensor(values).std().item()


def by_gates(blocks: Blocks, parts: Parts, weight: float) -> Tensor:
    """Train gates alone on fit; which are open in the end."""
    gate = HardConcreteGate(blocks.count)
    optimiser = torch.optim.Adam(gate.parameters(), lr=0.05)
    blocks.put(torch.ones(blocks.count))
    names = [name for name, _ in blocks.model.named_parameters() if name.endswith("skew")]
    for _ in range(100):
        optimiser.zero_grad()
        gains = gate().split([part.numel() // 28 for part in blocks.tuned])
        given = {
            name: tuned * some.repeat_interleave(28)
            for name, tuned, some in zip(names, blocks.tuned, gains, strict=True)
        }
        logits = torch.func.functional_call(blocks.model, given, (parts.fit[0],))
        (soft_macro_f1(logits, parts.fit[1]) + weight * gate.expected()).backward()
        optimiser.step()
    return gate.eval()() > 0


def chosen_blocks(blocks: Blocks, parts: Parts, seed: int) -> tuple[dict[str, Tensor], int]:
    """Gains of the blocks by who chooses them, and how often greedy removal asked; the swarms ask as often."""
    count, everything = blocks.count, torch.ones(blocks.count)
    allowed = bootstrap_error(blocks, parts.select)
    greedy, careful = (
        prune_greedily(lambda mask: blocks.value(parts.select, mask), count, allowed=drop)
        for drop in (allowed, 0.0)
    )
    swarm = prune_by_swarms(
        lambda gains, mask: blocks.value(parts.select, gains * mask),
        everything,
        penalty=allowed / count,
        calls=greedy.calls,
        seed=seed,
    )
    assert swarm.weights is not None
    largest = blocks.sizes().argsort(descending=True)[: int(careful.mask.sum())]
    return {
        "all, by the surrogate": everything,
        "none": torch.zeros(count),
        "greedy, one error allowed": greedy.mask.float(),
        "greedy, no drop": careful.mask.float(),
        "as many as without drop, the largest": torch.zeros(count).index_fill(0, largest, 1.0),
        "swarms": swarm.weights * swarm.mask,
        **{f"gates, {weight}": by_gates(blocks, parts, weight).float() for weight in (0.003, 0.01)},
    }, greedy.calls


def pruning(seeds: int = 8) -> None:
    """Held-out macro F1 and how many of the rotations are kept, by who chooses them."""
    held: dict[str, list[float]] = {}
    kept: dict[str, list[float]] = {}
    calls: dict[str, list[float]] = {}
    for seed in range(seeds):
        parts = digits(seed)
        start = started(network, parts, seed)
        weights = start.state_dict()
        for name, loss in (("proxy", nn.functional.cross_entropy), ("tuned", soft_macro_f1)):
            model = network()
            model.load_state_dict(weights)
            parameters = attach_orthogonal_adapter(model, 8)
            _, best = train(
                model,
                list(parameters.values()),
                loss,
                parts,
                macro_f1,
                rate=0.003,
                steps=150,
                state=nn.Module.state_dict,
            )
            model.load_state_dict(best)
            blocks = Blocks(model)
            if name == "proxy":
                held.setdefault("all, by proxy", []).append(
                    blocks.value(parts.held_out, torch.ones(blocks.count))
                )
                kept.setdefault("all, by proxy", []).append(blocks.count)
        arms, asked = chosen_blocks(blocks, parts, seed)
        for name, gains in arms.items():
            held.setdefault(name, []).append(blocks.value(parts.held_out, gains))
            kept.setdefault(name, []).append(float((gains != 0).sum()))
        for name in ("greedy, one error allowed", "swarms"):
            calls.setdefault(name, []).append(asked)
    rows = []
    for name, values in held.items():
        gain, spread = difference(values, held["all, by the surrogate"])
        rows.append(
            {
                "kept": name,
                "blocks": mean(kept[name]),
                "metric_calls": mean(calls.get(name, [0.0])),
                "macro_f1": mean(values),
                "over_all": gain,
                "error": spread,
            }
        )
    write("pruning", rows)
