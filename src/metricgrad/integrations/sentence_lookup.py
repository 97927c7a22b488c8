"""Models of sentence-transformers that embed nothing: one asks another model and remembers, one looks rows up.

Both are real `SentenceTransformer`s with a first module of ours. What `encode` does around the network (prompts, tasks,
batches, truncated, normalised and rounded embeddings) is done by sentence-transformers itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from metricgrad._checks import describe, extra, fail
from metricgrad._structures import form, moved

_package = extra("sentence_transformers", "sentence-transformers", "An evaluator of sentences")

__all__ = ["CALLER", "Asked", "Asking", "Known", "around", "batches_of"]

CALLER = "evaluator_metric"


class Asked(NamedTuple):
    """What a model was asked to embed: a text, the prompt before it and the task by which it is routed."""

    text: str
    prompt: str | None
    task: str | None


class Asking(nn.Module):
    """A first module whose embeddings are those of another model, batch by batch.

    Args:
        model: a `SentenceTransformer` in eval mode.

    Attributes:
        asked: everything that was asked for, each once, in the order of the questions.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = [model]  # in a list, as it is no part of this module
        self._rows: dict[Asked, Tensor] = {}

    @property
    def asked(self) -> list[Asked]:
        """What was asked for."""
        return list(self._rows)

    @property
    def rows(self) -> Tensor:
        """The embeddings of what was asked for [text, dim], on the CPU."""
        return torch.stack(list(self._rows.values()))

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, task: str | None = None, **settings: Any
    ) -> dict[str, Tensor]:
        """Embed them.

        Raises:
            InputError: an input is no text; there are settings of a processor; the model needs a task beside its
                features, which a training step does not give it.
        """
        keys = keys_of(inputs, prompt, task, settings)
        model = self._model[0]
        features = moved(_features(model, inputs, prompt, task), model.device)
        with torch.no_grad():
            rows = _embeddings(model(dict(features)))
            if task is not None and "task" in model.get_model_kwargs():
                routed = _embeddings(model(dict(features), task=task))
                if not torch.equal(rows, routed):
                    came = f"the model embeds otherwise when it is told task={task!r}"
                    raise fail(CALLER, came, "a model that reads the task in its features, as a Router does")
        for one, row in zip(keys, rows.cpu(), strict=True):
            self._rows.setdefault(one, row)
        return {"rows": rows}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what `preprocess` embedded."""
        return {"sentence_embedding": features["rows"]}


class Known(nn.Module):
    """A first module that looks embeddings up.

    Args:
        place: row of the table of everything that may be asked for.
        table: embeddings [row, dim].
    """

    def __init__(self, place: Mapping[Asked, int], table: Tensor) -> None:
        super().__init__()
        self.place, self.table = place, table

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, task: str | None = None, **settings: Any
    ) -> dict[str, Tensor]:
        """Find their rows; InputError for a text that was not asked for before."""
        keys = keys_of(inputs, prompt, task, settings)
        missing = next((one for one in keys if one not in self.place), None)
        if missing is not None:
            came = f"the evaluator asks for {describe(missing.text)}, which it did not ask for before"
            raise fail(CALLER, came, "an evaluator that reads the same texts at every call")
        return {"row": torch.tensor([self.place[one] for one in keys])}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the rows."""
        return {"sentence_embedding": self.table[features["row"]]}


class _Card:
    """Takes the place of a model card: an evaluator that is called as a metric adds nothing to one."""

    def set_evaluation_metrics(self, *values: Any) -> None:
        """Forget them."""


def around(model: Any, module: nn.Module) -> Any:
    """Return a `SentenceTransformer` of one module with the prompts, similarity and truncation of a model."""
    made = _package.SentenceTransformer(
        modules=[module],
        device="cpu",
        prompts=dict(model.prompts),
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
        truncate_dim=model.truncate_dim,
    )
    made.model_card_data = _Card()
    return made


def batches_of(model: Any, asked: Sequence[Asked], batch_size: int) -> list[tuple[dict[str, Any], Tensor]]:
    """Return features of texts in batches, with the places of the texts; long texts come first.

    Args:
        model: a `SentenceTransformer`.
        asked: the texts.
        batch_size: texts per batch, all of them with one prompt and one task.
    """
    batches = []
    for prompt, task in dict.fromkeys((one.prompt, one.task) for one in asked):
        places = [place for place, one in enumerate(asked) if (one.prompt, one.task) == (prompt, task)]
        places.sort(key=lambda place: -len(asked[place].text))
        for start in range(0, len(places), batch_size):
            some = places[start : start + batch_size]
            texts = [asked[place].text for place in some]
            batches.append((_features(model, texts, prompt, task), torch.tensor(some)))
    return batches


def keys_of(
    inputs: Sequence[Any], prompt: str | None, task: str | None, settings: Mapping[str, Any]
) -> list[Asked]:
    """Return what a batch asks for."""
    other = next((one for one in inputs if not isinstance(one, str)), None)
    if other is not None:
        raise fail(CALLER, f"the evaluator asks for {form(other)}", "texts")
    given = {name: value for name, value in settings.items() if value is not None}
    if given:
        raise fail(CALLER, f"the evaluator embeds with {given}", "no settings but a prompt and a task")
    return [Asked(one, prompt or None, task) for one in inputs]


def _features(model: Any, texts: Sequence[str], prompt: str | None, task: str | None) -> dict[str, Any]:
    return dict(model.preprocess(list(texts), prompt=prompt, **({} if task is None else {"task": task})))


def _embeddings(outputs: Any) -> Tensor:
    if not isinstance(outputs, Mapping) or not isinstance(outputs.get("sentence_embedding"), Tensor):
        raise fail(CALLER, f"the model returns {form(outputs)}", "a part 'sentence_embedding'")
    return outputs["sentence_embedding"]
