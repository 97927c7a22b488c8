"""Recipes: what is left out, what is laid over what, and what explain says of them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metricgrad import tasks
from metricgrad.cli import code, defaults, resolve
from metricgrad.cli.recipe import Entry, Recipe, checked, meanings, models_inside, read_recipe
from metricgrad.errors import InputError
from metricgrad.tasks import digits
from metricgrad.tasks.task import Task
from metricgrad.tune import Plan
from tests.cli.outcome import Command

EXAMPLES = Path(__file__).parents[2] / "examples"


def keys_of(model: Any, prefix: str = "") -> set[str]:
    """Every dotted key of a model."""
    inside = models_inside(model)
    return {prefix + name for name in model.model_fields}.union(
        *(keys_of(inner, f"{prefix}{name}.") for name, inner in inside.items())
    )


def complete(**given: Any) -> Mapping[str, Any]:
    """The recipe that a run of the digits would keep."""
    return resolve.resolve(Recipe(task="digits", **given), lambda event: None).recipe


def test_explain_recipe_prints_every_key(command: Command) -> None:
    """`explain recipe` has every key at every level, each with a type, a default and a meaning."""
    rows = {row["key"]: row for row in command("explain", "recipe", "--json").json}
    assert set(rows) == keys_of(Recipe)
    assert all(row["type"] and row["meaning"] for row in rows.values())
    assert rows["task"]["default"] == "needed"
    assert rows["plan.checkpoint_every"]["default"] == Plan().checkpoint_every
    text = command("explain", "recipe").out
    assert all(key in text for key in rows)


def test_every_key_has_a_meaning() -> None:
    """The docstring of each model that a recipe is made of says what each of its keys means."""
    for model in (Recipe, Plan, *models_inside(Recipe).values()):
        assert set(meanings(model)) == set(model.model_fields)


def test_example_recipe_is_complete() -> None:
    """The example names every key, is valid, and says what the task would do without it."""
    given = read_recipe(EXAMPLES / "emoji-recall.yaml")
    recipe = checked(Recipe, given, "the example")
    assert set(given) == set(Recipe.model_fields)
    assert set(given["plan"]) == set(Plan.model_fields)
    frozen = yaml.safe_load((Path(tasks.__file__).parent / "emoji_settings.yaml").read_text(encoding="utf-8"))
    assert recipe.settings == frozen["settings"]
    assert recipe.proxy_settings == frozen["proxy_settings"]
    assert {key: value for key, value in given["plan"].items() if key in frozen["plan"]} == frozen["plan"]


def test_task_fills_in_what_is_left_out() -> None:
    """A recipe that names only the task gets the task's metric, plan and start, and three seeds."""
    found = complete()
    assert found["metric"] == "recall@1"
    assert found["plan"]["steps"] == 60
    assert found["start"]["plan"]["steps"] == 200
    assert found["seeds"] == [0, 1, 2]
    assert found["data"] == {"dim": 16, "samples_per_class": 16, "split_seed": 0}


def test_complete_recipe_stays_as_it_is() -> None:
    """What a run keeps resolves to itself: a resumed run hangs on no default."""
    found = complete(plan=Plan(minutes=1), settings={"dropout": 0.2})
    assert complete(**{key: value for key, value in found.items() if key != "task"}) == found


def test_minutes_replace_the_steps_of_the_task() -> None:
    """Naming one budget drops the other one, wherever that came from."""
    assert complete(plan=Plan(minutes=2))["plan"]["steps"] is None
    assert complete(plan=Plan(steps=7))["plan"]["minutes"] is None


def taught_digits(options: Mapping[str, Any], observer: Any = None) -> Task:
    """Digits, as a task whose settings are those of a learned surrogate."""
    settings = {"learning_rate": 0.5, "surrogate_warmup": 7, "objective": {"metric_scale": 0.3}}
    return dataclasses.replace(digits.load(options, observer), method="learned", settings=settings)


def test_settings_of_another_kind_of_method_are_left_out() -> None:
    """Of a learned surrogate's settings another method takes those that all methods have."""
    name = f"{__name__}:{taught_digits.__name__}"
    kept = {
        method: resolve.resolve(Recipe(task=name, method=method), lambda event: None).recipe["settings"]
        for method in ("auto", "learned+filter", "surrogate:recall_at_k")
    }
    assert kept["auto"]["surrogate_warmup"] == 7 and kept["learned+filter"] == kept["auto"]
    assert kept["surrogate:recall_at_k"] == {"learning_rate": 0.5}


def weighed_digits(options: Any, observer: Any = None) -> Task:
    """Digits, as a task whose loss is weighed against the proxy."""
    settings = {"learning_rate": 0.5, "weight_decay": 0.1, "proxy_weight": 0.3}
    return dataclasses.replace(digits.load(options, observer), method="surrogate:ndcg", settings=settings)


def test_settings_of_a_loss_do_not_reach_a_method_that_has_none_like_them() -> None:
    """A search has a learning rate of another kind, two-step training no weight of the proxy; others take all."""
    weighed, shared = {"learning_rate": 0.5, "weight_decay": 0.1, "proxy_weight": 0.3}, {"proxy_weight": 0.0}
    kept = {
        "surrogate:recall_at_k": weighed,
        "direct:average_precision": weighed,
        "blackbox:evolution": {},
        "blackbox:mixture": {},
        "blackbox:value_function": {},
        "alternating:slope": {"learning_rate": 0.5, "weight_decay": 0.1},
    }
    name = f"{__name__}:{weighed_digits.__name__}"
    whole = Recipe(task=name, methods=[*kept, Entry(method="blackbox:evolution", settings=shared)])
    found = defaults.completed(whole, weighed_digits({}), {}, [0]).methods
    assert found is not None
    assert [one.settings for one in found if isinstance(one, Entry)] == [*kept.values(), shared]


def test_the_proxy_by_its_own_name_has_the_settings_of_the_control() -> None:
    """Not those that the task has for its loss."""
    task = dataclasses.replace(weighed_digits({}), proxy_settings={"learning_rate": 0.25})
    whole = Recipe(task="digits", methods=["auto"], controls=[Entry(method="proxy", name="longer")])
    found = defaults.completed(whole, task, {}, [0]).controls
    assert found == [Entry(method="proxy", name="longer", settings={"learning_rate": 0.25})]


def test_options_go_over_the_recipe(tmp_path: Path) -> None:
    """The command line goes over the file, `--set` over both, and other keys stay."""
    from metricgrad.cli.recipe import given_keys

    path = tmp_path / "r.yaml"
    path.write_text(
        "task: digits\nplan: {steps: 50, tries: 2}\nsettings: {objective: {k: 1}}\n", encoding="utf-8"
    )
    options = {
        "metric": "map",
        "plan": {"minutes": 3.0, "steps": None},
        "data": {"data": None},
        "method": None,
    }
    found = given_keys(
        str(path), options, ["settings.objective.temperature=2e-2", "plan.batch=64", "seeds=[4, 5]"]
    )
    assert found == {
        "task": "digits",
        "metric": "map",
        "plan": {"tries": 2, "minutes": 3.0, "batch": 64},
        "settings": {"objective": {"k": 1, "temperature": 0.02}},
        "seeds": [4, 5],
    }


def test_seed_counts_up() -> None:
    """`--seed 7 --seeds 2` is 7 and 8; `--seed 7` alone keeps the number of seeds of the recipe."""
    recipe = Recipe(task="digits", seeds=[3, 5])
    quiet = lambda event: None  # noqa: E731
    assert resolve.resolve(recipe, quiet, first_seed=7, seeds=2).arguments["seed"] == (7, 8)
    assert resolve.resolve(recipe, quiet, first_seed=7).arguments["seed"] == (7, 8)
    assert resolve.resolve(recipe, quiet, seeds=3).arguments["seed"] == (3, 4, 5)
    assert resolve.resolve(recipe, quiet).arguments["seed"] == (3, 5)


def test_exponent_without_point_is_a_number(tmp_path: Path) -> None:
    """1e-3 is a number, as people mean it, though YAML 1.1 takes it for text."""
    path = tmp_path / "r.yaml"
    path.write_text("task: digits\nsettings: {objective: {temperature: 5e-2}}\n", encoding="utf-8")
    assert read_recipe(path)["settings"]["objective"]["temperature"] == 0.05


def test_foreign_code_is_named_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric `package.module:name` of the current folder is imported; one with settings is not taken for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign_metric.py").write_text(
        "def half(outputs, targets):\n    return 0.5\n", encoding="utf-8"
    )
    assert code.imported("foreign_metric:half", "the metric")(None, None) == 0.5
    assert code.is_foreign("foreign_metric:half")
    assert not code.is_foreign("f_beta:beta=2")
    with pytest.raises(InputError, match=r"has no 'hlaf'.*Did you mean 'half'"):
        code.imported("foreign_metric:hlaf", "the metric")
    with pytest.raises(InputError, match="no module 'no_such_module'"):
        code.imported("no_such_module:x", "the metric")


KEYS = [
    "task",
    "metric",
    "data",
    "plan",
    "plan: {steps",
    "seeds",
    "start",
    "settings",
    "method",
    "proxy",
    "tas",
    "? [a]",
    "!!x",
    "1",
]
VALUES = [
    "digits",
    "recall@1",
    "null",
    "true",
    "[]",
    "{}",
    "-1",
    "1e999",
    "9" * 40,
    "2020-99-99",
    "{steps: 3}",
    "{minutes: true}",
    "[0, 0]",
    "{a: {b: [1, {c: 2}]}}",
    "&a [*a]",
    "*a",
    "!!python/object:os.system x",
    "'",
    "|",
    "[" * 60,
    '"\\ud800"',
    "{plan: {steps: .inf}}",
    "{? {a: b} : 1}",
    "{trainable: 3}",
]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=5))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_recipes_are_read_or_refused(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    """Whatever stands in a recipe: keys and values, or one sentence."""
    path = tmp_path / "r.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in pairs), encoding="utf-8")
    try:
        assert isinstance(read_recipe(path), dict)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 1200
