"""`tune`: a contest of one contender; chosen on select; test read once; a verdict, weights and a record."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from metricgrad._checks import Whole, calling
from metricgrad._types import Observer
from metricgrad.tune.asked import one_contender
from metricgrad.tune.launch import launched
from metricgrad.tune.plan import Plan
from metricgrad.tune.result import Result
from metricgrad.tune.splits import Splits

__all__ = ["tune"]


def tune(
    model: nn.Module | Callable[[int], nn.Module],
    splits: Splits | Sequence[Any] | Mapping[str, Any],
    *,
    metric: Any,
    proxy: str | Callable[[Any, Any], Tensor] | None = None,
    method: str = "auto",
    plan: Plan | Mapping[str, Any] | None = None,
    higher_is_better: bool | None = None,
    seed: Whole | Sequence[Whole] = 0,
    settings: Mapping[str, Any] | None = None,
    proxy_settings: Mapping[str, Any] | None = None,
    start_plan: Plan | Mapping[str, Any] | None = None,
    start_settings: Mapping[str, Any] | None = None,
    device: str | torch.device | None = None,
    side_metrics: Sequence[Any] = (),
    may_fall: float | Mapping[str, float] = 0.0,
    decision: str | nn.Module = "auto",
    closed_forms: bool = True,
    folder: str | Path | None = None,
    task: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
    observer: Observer | None = None,
    force: bool = False,
) -> Result:
    """Tune a model for a metric and show by held-out evidence whether that helped.

    Three arms: **start** (the model as it came), **continued** (the proxy loss goes on) and **tuned** (the method),
    the last two with equal steps, trainable parameters, data and tries; for embeddings also controls that train
    nothing (`closed_forms`). `select` chooses the step, the settings and
    the arm whose weights are returned; `test` is read once, at the end, for a paired bootstrap interval of tuned
    minus the other arm that does better on select.

    Args:
        model: a network that already works (it is copied, never changed), or `seed -> network`.
        splits: fit, select, test; `Splits(fit, select)` claims nothing. Each yields `(inputs, targets)` batches, or
            is a pair (X, y) of arrays; `Splits(..., unpack=batch -> (inputs, targets))` reads batches of another form.
        metric: a name ("recall@1"), a function of ours, a torchmetrics metric, a scikit-learn function or scorer,
            a `Metric`, or any `callable(outputs, targets) -> float`.
        proxy: the loss that the model was trained with: `(outputs, targets) -> Tensor`, or the name of one of ours
            ("supcon"). A module with parameters (ArcFace) is copied and trained beside the network.
            Without it there is no control arm, and the result says so.
        method: `auto`, or `family:objective` (`surrogate:recall_at_k`, `direct:average_precision`, ...). Several,
            separated by commas, share the tries out among them: select chooses the method, too. For a metric that reads
            classes `auto` is a portfolio: it trains several losses and returns the best by select, with its rule, where
            that is surely better than the start with its rule.
        plan: budget of the arms, or its fields as a dict.
        higher_is_better: direction of a metric that does not tell its own.
        seed: one or several; each draws its own batches, and its own start model where `model` is a callable.
        settings: of the method (learning_rate, objective temperature, ...); of several methods what belongs to the
            objective is the first one's.
        proxy_settings: of the control arm.
        start_plan: train the start model with the proxy first, until it has no better select value for 5
            evaluations; the best checkpoint is the start.
        start_settings: of that training.
        device: where networks, losses and batches go ("cuda", "cuda:1", "mps"); None: where the network is.
        side_metrics: metrics that must not get worse meanwhile, each given like `metric`. They are measured for every
            arm on the same outputs, and train nothing. A function without a known direction is given as
            `metrics.adapt(function, higher_is_better=...)`.
        may_fall: how far each may fall, in its own units: a number from 0 for all of them, or a mapping by name. An arm
            whose model falls further below the start on select is not returned: the lower end of the paired interval
            of its fall lies above this. `math.inf`: the side metric is only measured.
        decision: how scores become classes, for a metric that reads classes or compares one score per sample with 0, a
            logit, or with 0.5, a probability: `auto` (a cut between two classes, a decision by slopes between more),
            `argmax`, the name of a rule, or a rule of `metricgrad.decision`. It is fitted for every arm alike, start
            and controls included: on select every item is decided by the rule that was fitted on the other half, on
            test by the one that was fitted on all of select. The figures of the same weights with argmax stand
            beside. Of pixels every one is an item, `auto` is a bias per class, and an image stays in one half. One real
            output and a weighted kappa get cut points, with rounding beside. A metric of several labels gets thresholds
            by `labels` only. For any other metric `auto` changes nothing, and a rule is refused.
        closed_forms: for a metric that reads embeddings, whether two controls that train nothing take part, too: `raw`,
            the inputs as they are, where these are vectors [item, dim]; `closed-form`, the best by select of whitening,
            LDA and the others of `metricgrad.projection`, fitted on fit over the outputs of the start model and over
            inputs that are vectors. A gain is then claimed over the best of all controls, and one of these is returned
            where select prefers it: `Result.model` is the start model followed by the closed form, or the closed form
            of the inputs alone. Of pairs: CCA and the others of `projection.pair_grid`, over the relevant pairs of fit.
        folder: where the run lives; one that holds the same run unfinished is resumed. None: a temporary folder,
            which `Result.save` copies.
        task: name of the task, for the record.
        recipe: kept in config.yaml, so that a command can rebuild the call.
        facts: what must be unchanged when the run is resumed (hash of a feature cache, ...).
        observer: receives every event; default: plain lines on standard error.
        force: resume although data, versions or thread count have changed; the run is marked.

    Returns:
        The result: verdict, record, returned weights.

    Raises:
        InputError: an argument does not fit; nothing was written.
        RunFolderError: the folder is read-only, full, in use, or holds another run.
        CheckpointError: the checkpoint is corrupt, or belongs to other data, versions or thread count.
        Interrupted: SIGINT or SIGTERM; the checkpoint is written, the same call resumes.
        ProcessLost: another process of the run has died (runs of torchrun); the same call resumes.

    Several processes:
        Started by torchrun, every process makes this call and embeds its part of every batch; process 0 measures,
        decides and writes. The folder must be one that all of them see.

    Cost:
        seeds * arms * tries * steps training steps, a twentieth as many evaluations of `select`, one pass of every arm
        and seed over `test`; with side metrics another one over `select`. Closed forms: a pass of every seed over fit,
        some eigendecompositions, about 40 measurements of the metric on select, and as many of the inputs once.

    Reference:
        [efron1993bootstrap]

    Example:
        >>> import torch
        >>> from metricgrad.tune import ArraySplit, ClassBatchSplit
        >>> inputs, labels = torch.randn(200, 8, generator=torch.manual_seed(0)), torch.arange(200) % 50
        >>> part = [labels < 10, (labels >= 10) & (labels < 30), labels >= 30]
        >>> fit = ClassBatchSplit(inputs[part[0]], labels[part[0]], classes_per_batch=8, samples_per_class=4)
        >>> select, test = (ArraySplit(inputs[rows], labels[rows]) for rows in part[1:])
        >>> quiet = lambda event: None
        >>> result = tune(
        ...     nn.Linear(8, 4),
        ...     Splits(fit, select, test),
        ...     metric="recall@1",
        ...     proxy="supcon",
        ...     plan=Plan(steps=5),
        ...     observer=quiet,
        ... )
        >>> result.verdict in {"gain", "no evidence", "worse"}
        True
    """
    with calling("tune"):
        return launched(
            one_contender(
                model,
                splits,
                metric,
                method,
                settings,
                proxy,
                proxy_settings,
                closed_forms,
                plan=plan,
                higher_is_better=higher_is_better,
                seed=seed,
                start_plan=start_plan,
                start_settings=start_settings,
                device=device,
                side_metrics=side_metrics,
                may_fall=may_fall,
                decision=decision,
            ),
            folder=folder,
            task=task,
            recipe=recipe,
            facts=facts,
            observer=observer,
            force=force,
        )
