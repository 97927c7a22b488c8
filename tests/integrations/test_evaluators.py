"""Evaluators of sentence-transformers as metrics of runs: their own numbers, their units, and what is refused."""

import logging
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import evaluation
from torch import Tensor, nn

import metricgrad as mg
from metricgrad.errors import InputError
from metricgrad.integrations.sentence_transformers import Evaluated, evaluator_metric
from metricgrad.integrations.transformers import OutputOf

pytestmark = pytest.mark.integration("sentence-transformers")
WORDS = 40


class Words(nn.Module):
    """The first module of a model: the mean of the vectors of words, its own for every prompt; padded, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS + 1, 8, padding_idx=WORDS)
        self.dropout = nn.Dropout(0.5)

    def preprocess(self, inputs: list[str], prompt: str | None = None, **settings: Any) -> dict[str, Tensor]:
        """Numbers of words, a prompt among them, padded to the longest text."""
        rows = [[int(word[1:]) for word in ((prompt or "") + text).split()] for text in inputs]
        longest = max(map(len, rows))
        return {"input_ids": torch.tensor([row + [WORDS] * (longest - len(row)) for row in rows])}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average them; the features are changed, as those of sentence-transformers' own modules are."""
        ids = features["input_ids"]
        features["sentence_embedding"] = self.dropout(self.words(ids)).sum(1) / (ids != WORDS).sum(1)[:, None]
        return features


def small_model(**settings: Any) -> SentenceTransformer:
    """A model with a prompt of its own for queries."""
    torch.manual_seed(0)
    return SentenceTransformer(
        modules=[Words()], device="cpu", prompts={"query": "w0 w1 ", "document": ""}, **settings
    ).train()


def texts(count: int, seed: int) -> list[str]:
    """Texts of several lengths; some come twice."""
    drawn = random.Random(seed)
    return [
        " ".join(f"w{drawn.randrange(WORDS)}" for _ in range(drawn.choice((1, 1, 2, 5))))
        for _ in range(count)
    ]


def retrieval(seed: int = 0, **settings: Any) -> Any:
    """Queries and documents, two or three of them relevant."""
    queries, corpus = texts(25, seed), texts(40, seed + 1)
    drawn = random.Random(seed)
    relevant = {
        str(number): set(drawn.sample([f"d{place}" for place in range(40)], 3)) for number in range(25)
    }
    return evaluation.InformationRetrievalEvaluator(
        {str(number): text for number, text in enumerate(queries)},
        {f"d{place}": text for place, text in enumerate(corpus)},
        relevant,
        **{"name": f"part {seed}", **settings},
    )


def triplets(seed: int = 0, **settings: Any) -> Any:
    """Anchors, positives and negatives."""
    return evaluation.TripletEvaluator(*(texts(25, 3 * seed + place) for place in range(3)), **settings)


def similarities(seed: int = 0, **settings: Any) -> Any:
    """Pairs with a score."""
    scores = [random.Random(seed + number).random() for number in range(25)]
    return evaluation.EmbeddingSimilarityEvaluator(texts(25, seed), texts(25, seed + 9), scores, **settings)


def classification(seed: int = 0, **settings: Any) -> Any:
    """Pairs that belong together or not."""
    labels = [random.Random(seed + number).randrange(2) for number in range(25)]
    return evaluation.BinaryClassificationEvaluator(texts(25, seed), texts(25, seed + 9), labels, **settings)


def reranking(seed: int = 0, **settings: Any) -> Any:
    """Queries with texts of their own."""
    samples = [
        {"query": query, "positive": texts(2, seed + place), "negative": texts(5, seed + 50 + place)}
        for place, query in enumerate(texts(12, seed))
    ]
    return evaluation.RerankingEvaluator(samples, **settings)


def translation(seed: int = 0) -> Any:
    """Sentences whose translation must be the nearest."""
    return evaluation.TranslationEvaluator(texts(12, seed), texts(12, seed + 1))


def several(seed: int = 0) -> Any:
    """Two evaluators in one."""
    return evaluation.SequentialEvaluator([triplets(seed), similarities(seed)])


CASES: dict[str, Callable[[], Any]] = {
    "queries": retrieval,
    "queries by map": lambda: retrieval(map_at_k=[5, 100], main_score_function="cosine"),
    "queries, truncated": lambda: retrieval(truncate_dim=4, query_prompt="w5 "),
    "queries, corpus in parts": lambda: retrieval(corpus_chunk_size=7, batch_size=3),
    "reranking": reranking,
    "reranking one by one": lambda: reranking(use_batched_encoding=False),
    "triplets": triplets,
    "triplets by two": lambda: triplets(similarity_fn_names=["cosine", "euclidean"], margin=0.1, name="both"),
    "similarities": similarities,
    "similarities in bytes": lambda: similarities(precision="int8", main_similarity="cosine"),
    "classification": classification,
    "classification by dot": lambda: classification(similarity_fn_names=["dot"], name="part"),
}
WHOLE: dict[str, Callable[[], Any]] = {"translation": translation, "several": several}


def found(evaluated: Evaluated, model: SentenceTransformer) -> tuple[Tensor, Tensor]:
    """Embeddings and numbers of the texts of select, batch by batch, as a run computes them."""
    model.eval()
    with torch.no_grad():
        pairs = [(model(features)["sentence_embedding"], numbers) for features, numbers in evaluated.select]
    return torch.cat([rows for rows, _ in pairs]), torch.cat([numbers for _, numbers in pairs])


def moved(model: SentenceTransformer) -> SentenceTransformer:
    """The same model after some training."""
    with torch.no_grad():
        words = model[0].words
        assert isinstance(words, nn.Embedding)
        words.weight[:WORDS] += 0.7 * torch.randn(WORDS, 8, generator=torch.manual_seed(5))
    return model


@pytest.mark.parametrize("case", [*CASES, *WHOLE])
def test_the_number_is_that_of_the_evaluator(case: str):
    """With the model at the start and after training: what the evaluator says when it is called with the model."""
    make, model = (CASES | WHOLE)[case], small_model()
    evaluator = make()
    evaluated = evaluator_metric(model, evaluator, batch_size=4)
    assert evaluator.primary_metric == make().primary_metric
    assert all(module.training for module in model.modules())
    metric = evaluated.metric
    assert metric.higher_is_better
    assert metric.unit == ("whole" if case in WHOLE else "sample")
    for _ in range(2):
        rows, numbers = found(evaluated, model)
        statistics = metric.measure(rows, numbers)
        theirs = make()
        values = theirs(model)
        assert metric.summarise(statistics) == pytest.approx(values[theirs.primary_metric], abs=1e-6)
        assert theirs.primary_metric.removeprefix(f"{getattr(theirs, 'name', '')}_") == metric.name
        moved(model)
    assert len(statistics) == (1 if case in WHOLE else metric_units(evaluator))


def metric_units(evaluator: Any) -> int:
    """Units of an evaluator, by its own lists."""
    held = ("queries", "samples", "anchors", "sentences1")
    return len(next(getattr(evaluator, name) for name in held if hasattr(evaluator, name)))


def drawn(evaluator: Any, units: list[int]) -> Any:
    """An evaluator of some units, any number of times, made anew."""
    if isinstance(evaluator, evaluation.TripletEvaluator):
        columns = (evaluator.anchors, evaluator.positives, evaluator.negatives)
        return evaluation.TripletEvaluator(*([column[unit] for unit in units] for column in columns))
    if isinstance(evaluator, evaluation.RerankingEvaluator):
        return evaluation.RerankingEvaluator([evaluator.samples[unit] for unit in units])
    if isinstance(evaluator, evaluation.InformationRetrievalEvaluator):
        names = [evaluator.queries_ids[unit] for unit in units]
        return evaluation.InformationRetrievalEvaluator(
            {f"{place}": evaluator.queries[unit] for place, unit in enumerate(units)},
            dict(zip(evaluator.corpus_ids, evaluator.corpus, strict=True)),
            {f"{place}": evaluator.relevant_docs[name] for place, name in enumerate(names)},
        )
    facts = (
        evaluator.scores
        if isinstance(evaluator, evaluation.EmbeddingSimilarityEvaluator)
        else evaluator.labels
    )
    columns = (evaluator.sentences1, evaluator.sentences2, facts)
    return type(evaluator)(*([column[unit] for unit in units] for column in columns))


@pytest.mark.parametrize("case", ["queries", "reranking", "triplets", "similarities", "classification"])
def test_a_resample_is_an_evaluator_of_these_units(case: str):
    """Drawn rows of the statistics have the value of an evaluator that is made of the drawn units."""
    model, evaluator = moved(small_model()), CASES[case]()
    evaluated = evaluator_metric(model, evaluator)
    statistics = evaluated.metric.measure(*found(evaluated, model))
    generator = torch.Generator().manual_seed(1)
    seen = set()
    for _ in range(4):
        units = torch.randint(len(statistics), (len(statistics),), generator=generator)
        theirs = drawn(evaluator, units.tolist())
        value = theirs(model)[theirs.primary_metric]
        assert evaluated.metric.summarise(statistics[units]) == pytest.approx(value, abs=1e-6)
        seen.add(value)
    assert len(seen) > 1


@pytest.mark.parametrize("case", ["queries", "similarities", "translation"])
def test_a_run(case: str, tmp_path: Any):
    """Select and test are other texts; the values of the run are those of the evaluators with the returned model."""
    make = {"queries": retrieval, "similarities": similarities, "translation": translation}[case]
    model = small_model()
    evaluated = evaluator_metric(model, make(0), make(100))
    labels = torch.arange(64) % 8
    rows = [(f"w{label} w{number % WORDS}", label) for number, label in enumerate(labels.tolist())]
    fit = torch.utils.data.DataLoader(
        rows,
        batch_size=16,
        collate_fn=lambda some: (
            model.preprocess([text for text, _ in some]),
            torch.tensor([y for _, y in some]),
        ),
    )
    result = mg.tune(
        OutputOf(model, "sentence_embedding"),
        mg.Splits(fit, evaluated.select, evaluated.test),
        metric=evaluated.metric,
        proxy="supcon",
        plan={"steps": 6, "evaluate_every": 2, "resamples": 50},
        closed_forms=False,
        folder=tmp_path,
        observer=lambda event: None,
    )
    chosen = result.event("chosen")
    assert result.model is not None and chosen is not None
    theirs = make(0)
    value = theirs(result.model.network)[theirs.primary_metric]
    assert chosen["select"]["0"][result.returned] == pytest.approx(value, abs=1e-6)
    if case == "translation":
        assert "no interval" in result.summary().lower()
    else:
        assert result.verdict in {"gain", "no evidence", "worse"}


def test_another_value_by_its_key():
    """Not the primary metric: its direction must be given."""
    model = small_model()
    with pytest.raises(InputError, match="direction of cosine_map@100 is not known"):
        evaluator_metric(model, retrieval(), key="cosine_map@100")
    evaluated = evaluator_metric(model, retrieval(), key="cosine_map@100", higher_is_better=True)
    assert evaluated.metric.name == "cosine_map@100"
    value = evaluated.metric.summarise(evaluated.metric.measure(*found(evaluated, model)))
    assert value == pytest.approx(retrieval()(model)["part 0_cosine_map@100"], abs=1e-9)
    with pytest.raises(InputError, match=r"key is 'cosine_map@10'.*'cosine_map@100'"):
        evaluator_metric(model, retrieval(), key="cosine_map@10")


class Odd(evaluation.BaseEvaluator):
    """An evaluator of the user that returns what a function says of the model."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def __call__(self, model: Any, *arguments: Any, **settings: Any) -> Any:
        """Ask it."""
        return self.function(model)


def test_one_of_the_user():
    """A number, of which a lower one is better; no interval."""
    evaluator = Odd(lambda model: float(abs(model.encode(["w1 w2", "w3"])).sum()))
    evaluator.greater_is_better = False
    model = small_model()
    evaluated = evaluator_metric(model, evaluator)
    assert (evaluated.metric.name, evaluated.metric.unit) == ("Odd", "whole")
    assert not evaluated.metric.higher_is_better
    rows, numbers = found(evaluated, model)
    assert evaluated.metric.summarise(evaluated.metric.measure(rows, numbers)) == pytest.approx(
        float(rows.abs().sum())
    )


def test_what_is_refused():
    """What is more than embeddings of texts, by name."""
    model = small_model()
    loader = torch.utils.data.DataLoader([0], batch_size=1)
    turns = iter(range(100))
    with pytest.raises(
        InputError, match=r"LabelAccuracyEvaluator: it raised AttributeError.*encode_document alone"
    ):
        evaluator_metric(model, evaluation.LabelAccuracyEvaluator(loader, softmax_model=nn.Identity()))
    with pytest.raises(InputError, match="asks for no text"):
        evaluator_metric(model, Odd(lambda model: 0.5))
    with pytest.raises(InputError, match=r"gives 0 with the model and 1 with looked-up embeddings"):
        evaluator_metric(model, Odd(lambda model: (model.encode(["w1"]), next(turns))[1]))
    with pytest.raises(InputError, match=r"'w2'.*did not ask for before"):
        asked = iter(["w1", "w2"])
        evaluator_metric(model, Odd(lambda model: float(model.encode([next(asked)]).sum())))
    with pytest.raises(InputError, match="a SentenceTransformer"):
        evaluator_metric(nn.Linear(2, 2), retrieval())
    with pytest.raises(InputError, match="evaluators of one kind"):
        evaluator_metric(model, retrieval(), triplets())
    with pytest.raises(InputError, match="no key"):
        evaluator_metric(model, Odd(lambda model: float(model.encode(["w1"]).sum())), key="x")
    evaluated = evaluator_metric(model, retrieval())
    with pytest.raises(InputError, match="a whole split that evaluator_metric returned"):
        evaluated.metric.measure(torch.randn(5, 8), torch.arange(5))


def test_the_log_and_the_card_stay_as_they_were():
    """The model card holds what the evaluator itself puts there, and nothing of a metric that is measured."""
    model, records = small_model(), list[logging.LogRecord]()
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    try:
        logging.getLogger("sentence_transformers").warning("heard")
        evaluated = evaluator_metric(model, retrieval())
        evaluated.metric.measure(*found(evaluated, model))
    finally:
        logging.getLogger().removeHandler(handler)
    assert not model.model_card_data.eval_results_dict
    assert [record.getMessage() for record in records] == ["heard"]
