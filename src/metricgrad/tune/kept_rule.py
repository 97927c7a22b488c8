"""The rule of the returned arm, kept with its weights in one file, and the network that decides by it.

The rule stands in the header, as JSON: the tensors are those of the network alone, so that `load_state_dict` takes what
any program reads from the file. A file without a rule, such as one of an earlier version, is read as before.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metricgrad._checks import fail
from metricgrad._documents import Unreadable, json_value
from metricgrad._structures import form, items_of, moved
from metricgrad._user_code import embedded
from metricgrad.decision.rule import Rule
from metricgrad.decision.rule_file import document_of, rule_of_document
from metricgrad.errors import CheckpointError, InputError
from metricgrad.scale.chunk import device_of
from metricgrad.tune.checkpoint import load_weights, same_random_state, save_weights
from metricgrad.tune.decidable import decidable_scores, decided_by
from metricgrad.tune.tensor_file import content_of_tensors, header_of
from metricgrad.tune.weights import weights_of

__all__ = ["network_and_rule", "predicted", "save_with_rule"]

RULE = "decision_rule"


def save_with_rule(path: Path, model: nn.Module, rule: Rule | None, facts: Mapping[str, str]) -> None:
    """Write the weights of a network and, where there is one, its rule."""
    header = dict(facts) if rule is None else {**facts, RULE: json.dumps(document_of(rule))}
    save_weights(path, weights_of(model), header)


def network_and_rule(path: Path) -> tuple[dict[str, Any], Rule | None]:
    """Read the weights of a network, under its own names, and its rule.

    Raises:
        CheckpointError: the file is damaged, or holds a rule that is none.
    """
    weights, document = load_weights(path), header_of(content_of_tensors(path)).get(RULE)
    if document is None:
        return weights, None
    try:
        return weights, rule_of_document(json_value(str(document)))
    except (Unreadable, InputError) as error:
        raise CheckpointError(
            f"{path} holds a decision rule that cannot be read: {error} Restore the file from a copy."
        ) from error


def predicted(model: nn.Module, rule: Rule | None, inputs: Any) -> Any:
    """What a network gives for a batch, in eval mode without gradients; where a rule decides, its decisions."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), same_random_state():
            outputs = embedded(model, moved(inputs, device_of(model)))
    finally:
        model.train(training)
    if rule is None:
        return outputs
    scores = decidable_scores(outputs)
    items = items_of(inputs)
    if scores is None or items not in (None, len(scores)):
        raise fail(
            "Result.predict",
            f"the network returns {form(outputs)} for {form(inputs)}",
            "class scores of every item, as the rule was fitted to",
            "A single item is a batch of one: predict(item[None]).",
        )
    return decided_by(rule, scores)
