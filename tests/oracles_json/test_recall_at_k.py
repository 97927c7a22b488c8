"""Every case of recall_at_k.json and of recall_at_k.npz: ranks, losses, metrics, SiMix, staging, the sampler."""

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metricgrad import metrics
from metricgrad.averages import mean_valid
from metricgrad.losses import (
    average_precision_loss,
    ndcg_loss,
    precision_at_k_loss,
    recall_at_k_loss,
    reciprocal_rank_loss,
)
from metricgrad.pairing import ClassBatchSampler, SiMix, VirtualRows, mix_rows, mix_similarities, unit_rows
from metricgrad.ranking import RankingLoss, positive_ranks
from metricgrad.relax import PositiveRanks, positive_ranks_from_scores
from metricgrad.scale import StagedBackward
from tests.oracles_json.reading import Case, Within, cases, folder, gradient, hold, leaf, renamed

NOT_BUILT = ()

PRESETS: dict[str, dict[str, Any]] = {"paper": {}, "official": {"include_query": True, "clamp_k": True}}
RANKS = {"rank_temperature": "temperature", "kernel": "step", "query_in_database": "include_query"}
RECALL = {name: name for name in ("cutoff_temperature", "normalizer", "cap", "offset", "clamp_k")} | {
    "ks": "k"
}


def ranks_of(
    case: Case, include_query: Any, rank_params: Mapping[str, Any]
) -> tuple[PositiveRanks, str, Tensor]:
    """Return the ranks of a case in either call form, the name of its leaf and the leaf."""
    inputs = case["inputs"]
    settings: dict[str, Any] = {"temperature": 0.01, "include_query": include_query} | dict(rank_params)
    if "embeddings" in inputs:
        source = leaf(inputs["embeddings"])
        rows = unit_rows(source) if case["params"].get("normalize") else source
        return positive_ranks(rows, as_labels(inputs["labels"]), **settings), "grad_embeddings", source
    source = leaf(inputs["similarities"])
    relevance = torch.tensor(inputs["relevance"], dtype=torch.bool)
    ranks = positive_ranks_from_scores(source, relevance, query_item=inputs.get("query_item"), **settings)
    return ranks, "grad_similarities", source


def as_labels(labels: list[Any]) -> Any:
    """Integers as a tensor, strings as they are."""
    return (
        labels if any(isinstance(label, str) for label in labels) else torch.tensor(labels, dtype=torch.long)
    )


def defined(values: Tensor, ranks: PositiveRanks) -> list[Any]:
    """One entry per query, None for a query without positives."""
    return [
        row if valid else None
        for row, valid in zip(values.tolist(), ranks.valid.any(1).tolist(), strict=True)
    ]


def recall_loss(case: Case) -> dict[str, Any]:
    """The recall loss; from embeddings also through `RankingLoss`, which must say the same."""
    params = dict(case["params"])
    preset = dict(PRESETS[params.pop("preset", "paper")])
    include_query = preset.pop("include_query", False)
    rank_params = renamed(params, RANKS, (*RECALL, "normalize"))
    settings: dict[str, Any] = (
        {"k": (1, 2, 4, 8, 16)} | preset | renamed(params, RECALL, (*RANKS, "normalize"))
    )
    ranks, name, source = ranks_of(case, include_query, rank_params)
    loss = mean_valid(recall_at_k_loss(ranks, **settings), ranks)
    ks = settings.pop("k")
    widths = settings.pop("cutoff_temperature", 1.0)
    widths = widths if isinstance(widths, list) else [widths] * len(ks)
    each = [
        1 - recall_at_k_loss(ranks, k=k, cutoff_temperature=width, **settings)
        for k, width in zip(ks, widths, strict=True)
    ]
    found = {
        "loss": loss,
        name: gradient(loss, source),
        "recall_per_query": defined(torch.stack(each, 1), ranks),
        "positive_ranks": [
            row[valid].tolist() for row, valid in zip(ranks.among_all, ranks.valid, strict=True)
        ],
        "valid_queries": int(ranks.valid.any(1).sum()),
    }
    if "embeddings" in case["inputs"] and "query_in_database" not in params:
        through = ranking_loss(case)
        torch.testing.assert_close(through, loss, rtol=0, atol=1e-12)
    return found


def ranking_loss(case: Case) -> Tensor:
    """The same loss through the module with the call of pytorch-metric-learning."""
    params = dict(case["params"])
    preset, normalize = params.pop("preset", "paper"), bool(params.pop("normalize", False))
    settings: dict[str, Any] = {"temperature": 0.01} | renamed(params, RANKS | RECALL)
    criterion = RankingLoss(recall_at_k_loss, preset=preset, normalize=normalize, **settings)
    return criterion(leaf(case["inputs"]["embeddings"]), as_labels(case["inputs"]["labels"]))


FORMULA = (
    "x[i,j] = sin(12.9898*(i+1) + 78.233*(j+1)) + 1.5*sin(3.1*((i mod classes)+1)*(j+1)), i,j from 0; "
    "rows L2-normalised; label[i] = i mod classes"
)


def recall_loss_formula(case: Case) -> dict[str, Any]:
    """The recall loss of embeddings given by a formula."""
    inputs = case["inputs"]
    if inputs["formula"] != FORMULA:
        pytest.fail(f"unknown formula {inputs['formula']!r}")
    rows, dims, classes = inputs["rows"], inputs["dims"], inputs["classes"]
    x = [
        [
            math.sin(12.9898 * (i + 1) + 78.233 * (j + 1))
            + 1.5 * math.sin(3.1 * ((i % classes) + 1) * (j + 1))
            for j in range(dims)
        ]
        for i in range(rows)
    ]
    embeddings = torch.nn.functional.normalize(torch.tensor(x, dtype=torch.float64), dim=1).tolist()
    labels = [i % classes for i in range(rows)]
    found = recall_loss({**case, "inputs": {"embeddings": embeddings, "labels": labels}})
    slope = found["grad_embeddings"]
    places = [(i, j) for i, j, _ in case["expected"].get("grad_entries", [])]
    found["grad_abs_sum"] = slope.abs().sum()
    found["grad_entries"] = [[i, j, float(slope[i, j])] for i, j in places]
    return found


def listed(case: Case) -> tuple[PositiveRanks, Tensor, Tensor]:
    """One query with listed positives: its ranks, the scores, and where in the list each rank belongs."""
    scores = leaf(case["inputs"]["similarities"])
    positives = torch.tensor(case["inputs"]["positives"])
    relevance = torch.zeros(1, len(scores), dtype=torch.bool)
    relevance[0, positives] = True
    settings: dict[str, Any] = {"temperature": 0.01} | renamed(
        case["params"], RANKS, ("k", "cutoff_temperature")
    )
    ranks = positive_ranks_from_scores(scores.unsqueeze(0), relevance, **settings)
    return ranks, scores, torch.argsort(torch.argsort(positives))


def ranks_and_gradient(case: Case) -> dict[str, Any]:
    """The ranks themselves; the windowed ones may differ by what lies outside of the window."""
    ranks, scores, order = listed(case)
    values = ranks.among_all[0, order]
    upstream = torch.tensor(case["inputs"]["upstream_gradient"], dtype=torch.float64)
    found: dict[str, Any] = {
        "ranks": values,
        "grad_similarities": gradient((values * upstream).sum(), scores),
    }
    for key in case["expected"]:
        if key.startswith(
            "ranks_windowed_"
        ):  # our ranks have no window: they differ by at most n exp(-window)
            window = float(key.removeprefix("ranks_windowed_").removesuffix("_temperatures"))
            found[key] = Within(values, len(scores) * math.exp(-window))
    return found


def consumers(case: Case) -> dict[str, Any]:
    """What the losses make of the ranks of one query."""
    ranks, _, order = listed(case)
    given = torch.tensor(case["inputs"]["gains"], dtype=torch.float64)
    gains = torch.empty_like(given)
    gains[order] = given
    cut = {"k": case["params"]["k"], "cutoff_temperature": case["params"]["cutoff_temperature"]}
    return {
        "average_precision": 1 - average_precision_loss(ranks)[0],
        "reciprocal_rank": 1 - reciprocal_rank_loss(ranks)[0],
        "ndcg_binary": 1 - ndcg_loss(ranks)[0],
        "ndcg_graded": 1 - ndcg_loss(ranks, gains=gains.unsqueeze(0))[0],
        "ndcg_graded_at_k": 1 - ndcg_loss(ranks, gains=gains.unsqueeze(0), **cut)[0],
        "precision_at_k": 1 - precision_at_k_loss(ranks, **cut)[0],
    }


def smooth_average_precision(case: Case) -> dict[str, Any]:
    """Smooth AP; a query in the database is a positive of its own too."""
    params = renamed(case["params"], RANKS)
    include_query = "positive" if params.pop("include_query", False) else False
    ranks, name, source = ranks_of(case, include_query, params)
    losses = average_precision_loss(ranks)
    loss = mean_valid(losses, ranks)
    return {
        "loss": loss,
        name: gradient(loss, source),
        "average_precision": defined(1 - losses, ranks),
        "valid_queries": int(ranks.valid.any(1).sum()),
    }


def exact_metrics(case: Case) -> dict[str, Any]:
    """The exact metrics of one query."""
    scores = torch.tensor([case["inputs"]["similarities"]], dtype=torch.float64)
    relevance = torch.tensor([case["inputs"]["relevance"]], dtype=torch.bool)
    settings = renamed(case["params"], {"ties": "ties"}, ("ks",))
    ks = case["params"]["ks"]

    def at_ks(metric: Any, **more: Any) -> list[float]:
        return [float(metric(scores, relevance, k=k, **settings, **more)[0]) for k in ks]

    found: dict[str, Any] = {
        "recall_at_k": at_ks(metrics.recall_at_k),
        "recall_at_k_min_k": at_ks(metrics.recall_at_k, normalizer="min_k_positives"),
        "hit_at_k": at_ks(metrics.hit_at_k),
        "precision_at_k": at_ks(metrics.precision_at_k),
        "average_precision": float(metrics.average_precision(scores, relevance, **settings)[0]),
        "reciprocal_rank": float(metrics.reciprocal_rank(scores, relevance, **settings)[0]),
        "ndcg": float(metrics.ndcg(scores, relevance, **settings)[0]),
    }
    values = torch.tensor([value for entry in found.values() for value in np.atleast_1d(entry).tolist()])
    found["undefined"] = bool(values.isnan().all())
    return found


def sampler_batches(case: Case) -> dict[str, Any]:
    """How many batches an epoch has, by `len` and by counting."""
    labels = torch.repeat_interleave(torch.tensor(case["inputs"]["class_counts"]))
    names = ("classes_per_batch", "samples_per_class", "small_classes")
    sampler = ClassBatchSampler(labels, **renamed(case["params"], {name: name for name in names}))
    assert len(list(sampler)) == len(sampler)
    return {"batches": len(sampler)}


def staged_backward(case: Case) -> dict[str, Any]:
    """The gradient of a linear encoder, staged with every chunk size of the case; they must agree."""
    params = dict(case["params"])
    sizes, preset = params.pop("chunk_sizes"), params.pop("preset", "paper")
    criterion = RankingLoss(recall_at_k_loss, preset=preset, **renamed(params, RANKS | RECALL))
    weight = torch.tensor(case["inputs"]["weight"], dtype=torch.float64)
    inputs = torch.tensor(case["inputs"]["inputs"], dtype=torch.float64)
    found = []
    for size in sizes:
        encoder = torch.nn.Linear(*weight.shape, bias=False, dtype=torch.float64)
        encoder.weight.data = weight.T.contiguous()
        loss = StagedBackward(encoder, criterion, chunk=size)(inputs, as_labels(case["inputs"]["labels"]))
        found.append((loss, encoder.weight.grad.T))
    for loss, slope in found[1:]:
        torch.testing.assert_close((loss, slope), found[0], rtol=0, atol=1e-14)
    return {"loss": found[0][0], "grad_weight": found[0][1]}


@dataclass(frozen=True)
class GivenPairs(SiMix):
    """SiMix whose pairs and shares are those of a case."""

    rows: VirtualRows | None = None

    def draw(self, labels: Any) -> VirtualRows:
        """Give the rows of the case."""
        assert self.rows is not None
        return self.rows


def given_pairs(case: Case) -> GivenPairs:
    """The pairs and shares of a case."""
    pairs = torch.tensor(case["inputs"]["pairs"], dtype=torch.long).reshape(-1, 2)
    share = torch.tensor(case["inputs"]["alphas"], dtype=torch.float64)
    return GivenPairs(rows=VirtualRows(pairs[:, 0], pairs[:, 1], share))


def simix_similarities(case: Case) -> dict[str, Any]:
    """Mixed similarities by either route, which must say the same, and the labels of all rows."""
    inputs, labels = case["inputs"], case["inputs"]["labels"]
    renamed(case["params"], {})
    rows = torch.tensor(inputs["embeddings"], dtype=torch.float64)
    virtual = given_pairs(case).draw(labels)
    mixed = mix_rows(rows, virtual)
    similarities = mix_similarities(rows @ rows.T, virtual)
    torch.testing.assert_close(similarities, mixed @ mixed.T, rtol=0, atol=1e-14)
    return {
        "similarities": similarities,
        "labels": [*labels, *(labels[first] for first in virtual.first.tolist())],
    }


def simix_recall_loss(case: Case) -> dict[str, Any]:
    """The recall loss of a batch with the virtual rows of the case, unit rows not required."""
    params = dict(case["params"])
    preset, normalize = params.pop("preset", "paper"), bool(params.pop("normalize", False))
    settings: dict[str, Any] = {"temperature": 0.01} | renamed(params, RANKS | RECALL)
    criterion = RankingLoss(
        recall_at_k_loss, preset=preset, normalize=normalize, simix=given_pairs(case), **settings
    )
    rows, labels = leaf(case["inputs"]["embeddings"]), as_labels(case["inputs"]["labels"])
    loss, (_, valid) = criterion(rows, labels), criterion.per_query(rows, labels)
    return {"loss": loss, "valid_queries": int(valid.sum()), "grad_embeddings": gradient(loss, rows)}


def simix_rows(case: Case) -> dict[str, Any]:
    """How many rows there are with all pairs of every class."""
    pairs = renamed(case["params"], {"pairs": "pairs", "pairs_per_class": "pairs_per_class"})
    if pairs.pop("pairs", "all_within_class") != "all_within_class":
        pytest.fail(f"unknown pairs {case['params']['pairs']!r}")
    labels = torch.repeat_interleave(torch.tensor(case["inputs"]["class_counts"]))
    virtual = len(SiMix(**pairs).draw(labels).share)
    return {"virtual_rows": virtual, "total_rows": len(labels) + virtual}


def knn_classify(case: Case) -> dict[str, Any]:
    """The vote of the neighbours of one query."""
    inputs, params = case["inputs"], case["params"]
    settings = renamed(params, {name: name for name in ("k", "weights", "temperature")})
    settings = {name: value for name, value in settings.items() if value is not None}
    exclude, prior = inputs.get("exclude"), inputs.get("prior_ratio")
    if prior is not None:  # the keys of JSON are strings
        prior = {label: prior[str(label)] for label in inputs["labels"]}
    found = metrics.knn_classify_from_scores(
        torch.tensor([inputs["similarities"]], dtype=torch.float64),
        inputs["labels"],
        exclude=None if exclude is None else torch.tensor([exclude]),
        prior_ratio=prior,
        **settings,
    )
    known = [str(label) for label in found.classes.tolist()]
    candidates = [number for number in found.candidates[0].tolist() if number >= 0]
    probabilities = found.probabilities[0].tolist()
    return {
        "label": found.labels()[0],
        "neighbours": [item for item in found.neighbours.item[0].tolist() if item >= 0],
        "probabilities": {known[number]: probabilities[place] for place, number in enumerate(candidates)},
    }


OPERATIONS = {
    "recall_at_k_loss": recall_loss,
    "recall_at_k_loss_formula": recall_loss_formula,
    "positive_ranks": ranks_and_gradient,
    "rank_consumers": consumers,
    "smooth_average_precision_loss": smooth_average_precision,
    "exact_metrics": exact_metrics,
    "sampler_batch_count": sampler_batches,
    "simix_similarities": simix_similarities,
    "simix_recall_at_k_loss": simix_recall_loss,
    "simix_row_count": simix_rows,
    "knn_classify": knn_classify,
    "staged_backward": staged_backward,
}


@pytest.fixture(params=["torch", "numba"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kernel of the ranks; one that stands in the environment already is the only one."""
    forced = os.environ.get("METRICGRAD_KERNEL")
    if forced is not None and request.param != "torch":
        pytest.skip(f"METRICGRAD_KERNEL is {forced}")
    monkeypatch.setenv("METRICGRAD_KERNEL", forced or request.param)
    return forced or request.param


@pytest.mark.parametrize("case", cases("recall_at_k", NOT_BUILT))
def test_case(case: Case, kernel: str):
    """A case of the file, by every kernel."""
    hold(case, OPERATIONS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize(
    "which",
    [
        "(test_case or test_batch) and not formula_600x16",
        pytest.param("test_case and formula_600x16", marks=pytest.mark.nightly),
    ],
)
def test_cases_by_triton(which: str):
    """Every case and batch by the Triton kernel: on a CUDA device its programs run, without one they are interpreted.

    Interpreting the two cases of 600 rows takes minutes.
    """
    environment = {**os.environ, "METRICGRAD_KERNEL": "triton", "TRITON_INTERPRET": "1"}
    chosen = ["-m", "not slow", "-k", which, "-o", "timeout=1200"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, *chosen]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1700)
    assert done.returncode == 0, done.stdout[-3000:]


def batches() -> list[int]:
    """Return the numbers of the batches in the .npz file."""
    path = folder() / "recall_at_k.npz"
    return list(range(int(np.load(path, allow_pickle=False)["n_cases"]))) if path.exists() else []


@pytest.mark.parametrize("number", batches())
def test_batch_of_the_official_implementation(number: int, kernel: str):
    """Loss and gradient of the official implementation, to 1e-10, by every kernel."""
    content = np.load(folder() / "recall_at_k.npz", allow_pickle=False)
    batch = {
        name: content[f"case{number}_{name}"]
        for name in ("embeddings", "labels", "ks", "tau_rank", "tau_k", "loss", "grad")
    }
    criterion = RankingLoss(
        recall_at_k_loss,
        preset="official",
        normalize=False,
        temperature=float(batch["tau_rank"]),
        k=batch["ks"].tolist(),
        cutoff_temperature=float(batch["tau_k"]),
    )
    embeddings = leaf(batch["embeddings"].tolist())
    loss = criterion(embeddings, torch.from_numpy(batch["labels"]))
    torch.testing.assert_close(loss.item(), float(batch["loss"]), rtol=0, atol=1e-10)
    torch.testing.assert_close(
        gradient(loss, embeddings), torch.from_numpy(batch["grad"]), rtol=0, atol=1e-10
    )
