"""SiMix: virtual rows by either route, what is drawn, and the loss of a mixed batch."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from metricgrad.averages import mean_valid
from metricgrad.errors import InputError
from metricgrad.losses import average_precision_loss, recall_at_k_loss
from metricgrad.methods.objectives import named_objective
from metricgrad.pairing import MemoryQueue, SiMix, VirtualRows, mix_rows, mix_similarities, unit_rows
from metricgrad.ranking import RankingLoss
from metricgrad.relax import positive_ranks_from_scores
from metricgrad.tune import Plan
from tests.tune.small_run import same_weights, small_run


def batch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Unit rows of classes of 4, 3, 2 and 1 rows, shuffled."""
    labels = torch.repeat_interleave(torch.tensor([4, 3, 2, 1]))[torch.randperm(10, generator=generator)]
    return unit_rows(torch.randn(10, 5, generator=generator, dtype=torch.float64)), labels


def as_matrix(virtual: VirtualRows, rows: int) -> Tensor:
    """M [mixed, row], dense: the definition."""
    count = len(virtual.share)
    matrix = torch.zeros(count, rows, dtype=torch.float64)
    matrix[torch.arange(count), virtual.first] += virtual.share.double()
    matrix[torch.arange(count), virtual.second] += 1 - virtual.share.double()
    return torch.cat([torch.eye(rows, dtype=torch.float64), matrix])


@pytest.mark.parametrize("pairs_per_class", [None, 2])
def test_both_routes_are_products_with_m(pairs_per_class, generator):
    """Rows are M E, similarities M S Mᵀ, without virtual queries S Mᵀ: values and gradients."""
    rows, labels = batch(generator)
    virtual = SiMix(pairs_per_class, generator=generator).draw(labels)
    matrix = as_matrix(virtual, 10)
    torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64))
    weights = torch.randn(len(matrix), len(matrix), generator=generator, dtype=torch.float64)
    found = []
    for route in (
        lambda e: matrix @ (e @ e.T) @ matrix.T,
        lambda e: mix_rows(e, virtual) @ mix_rows(e, virtual).T,
        lambda e: mix_similarities(e @ e.T, virtual),
    ):
        leaf = rows.clone().requires_grad_()
        mixed = route(leaf)
        found.append((mixed.detach(), torch.autograd.grad((weights * mixed).sum(), leaf)[0]))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[2], found[0], rtol=0, atol=1e-12)
    items_only = mix_similarities(rows @ rows.T, virtual, virtual_queries=False)
    torch.testing.assert_close(items_only, rows @ rows.T @ matrix.T, rtol=0, atol=1e-12)


def test_a_virtual_row_is_shorter_than_one(generator):
    """s'(v, v) = a² + (1 - a)² + 2 a (1 - a) s_ij < 1 for unit rows that differ."""
    rows, labels = batch(generator)
    virtual = SiMix(generator=generator).draw(labels)
    own = mix_similarities(rows @ rows.T, virtual).diagonal()[10:]
    share = virtual.share.double()
    between = (rows[virtual.first] * rows[virtual.second]).sum(1)
    torch.testing.assert_close(own, share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * between)
    assert bool((own < 1).all())


@pytest.mark.parametrize("strings", [False, True])
def test_all_pairs_are_every_pair_of_a_class_once(strings, generator):
    """Both rows of a pair have its label, in any order of the rows; a class of m rows has m (m - 1) / 2."""
    labels = [*torch.randint(0, 9, (60,), generator=generator).tolist(), 99]
    given = [f"class {label}" for label in labels] if strings else torch.tensor(labels)
    virtual = SiMix(generator=generator).draw(given)
    found = list(zip(virtual.first.tolist(), virtual.second.tolist(), strict=True))
    wanted = {(i, j) for i, j in combinations(range(61), 2) if labels[i] == labels[j]}
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert bool(((virtual.share >= 0) & (virtual.share < 1)).all())


def test_a_subset_has_different_pairs_and_all_where_there_are_few(generator):
    """As many of each class, or all that there are; over many draws every pair comes equally often."""
    labels = torch.repeat_interleave(torch.tensor([5, 3, 2, 1]))
    times = torch.zeros(11, 11)
    for _ in range(600):
        virtual = SiMix(4, generator=generator).draw(labels)
        assert torch.bincount(labels[virtual.first], minlength=4).tolist() == [4, 3, 1, 0]
        pairs = set(zip(virtual.first.tolist(), virtual.second.tolist(), strict=True))
        assert len(pairs) == 8
        assert all(i < j and labels[i] == labels[j] for i, j in pairs)
        times[virtual.first, virtual.second] += 1
    drawn = times[:5, :5][tuple(torch.triu_indices(5, 5, 1))]
    # 10 pairs, each drawn with probability 0.4: 240 of 600, standard deviation 12
    assert bool(((drawn - 240).abs() < 4 * 12).all())


def test_pairs_of_a_large_class_are_numbered_rightly():
    """The numbers of pairs decode without a gap up to where a float64 root would err by one."""
    from metricgrad.pairing.simix import _pair

    high = torch.tensor([1, 2, 3, 1000, 94906266, 100_000_000])
    first, last = high * (high - 1) // 2, high * (high + 1) // 2 - 1
    for number, low in ((first, torch.zeros_like(high)), (last, high - 1)):
        torch.testing.assert_close(torch.stack(_pair(number)), torch.stack([low, high]), rtol=0, atol=0)


def test_draws_are_anew_and_repeatable(generator):
    """Each call draws other shares; the state of the generator, or of torch's own, determines them."""
    _, labels = batch(generator)
    one, two = SiMix(generator=generator).draw(labels), SiMix(generator=generator).draw(labels)
    assert not torch.equal(one.share, two.share)
    state = torch.get_rng_state()
    first = SiMix(2).draw(labels)
    torch.set_rng_state(state)
    for again, before in zip(SiMix(2).draw(labels), first, strict=True):
        torch.testing.assert_close(again, before, rtol=0, atol=0)


@pytest.mark.parametrize("labels", [[], [3], [1, 2, 3]])
@pytest.mark.parametrize("pairs_per_class", [None, 4])
def test_without_a_pair_there_is_no_virtual_row(labels, pairs_per_class):
    """An empty batch or only single rows: nothing to mix, and mixing nothing changes nothing."""
    virtual = SiMix(pairs_per_class).draw(torch.tensor(labels, dtype=torch.long))
    assert len(virtual.share) == 0
    rows = torch.ones(len(labels), 2)
    torch.testing.assert_close(mix_rows(rows, virtual), rows)
    assert mix_similarities(rows @ rows.T, virtual).shape == (len(labels), len(labels))


@pytest.mark.parametrize("virtual_queries", [True, False])
@pytest.mark.parametrize("preset", ["paper", "official"])
@pytest.mark.parametrize("loss", [recall_at_k_loss, average_precision_loss])
def test_the_loss_is_that_of_the_mixed_similarities(loss, preset, virtual_queries, generator):
    """Normalise, mix, rank: the mean over all valid queries, real ones first, by either route."""
    rows, labels = batch(generator)
    settings = {"k": (1, 2, 4)} if loss is recall_at_k_loss else {}
    state = generator.get_state()
    simix = SiMix(virtual_queries=virtual_queries, generator=generator)
    criterion = RankingLoss(loss, temperature=0.1, preset=preset, simix=simix, **settings)
    value = criterion(3 * rows, labels)
    generator.set_state(state)
    each, valid = criterion.per_query(3 * rows, labels)
    generator.set_state(state)
    virtual = simix.draw(labels)
    scores = mix_similarities(rows @ rows.T, virtual, virtual_queries=virtual_queries)
    item_labels = torch.cat([labels, labels[virtual.first]])
    ranks = positive_ranks_from_scores(
        scores,
        item_labels[: len(scores)].unsqueeze(1) == item_labels,
        query_item=torch.arange(len(scores)),
        include_query=criterion.include_query,
        temperature=0.1,
    )
    wanted = loss(ranks, **criterion.settings)
    torch.testing.assert_close(each, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(value, mean_valid(wanted, ranks), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(valid, ranks.valid.any(1))
    assert len(each) == (len(item_labels) if virtual_queries else 10)


@pytest.mark.parametrize(("rows", "k"), [(6, 7), (12, 20), (12, (1, 13, 40)), (9, 10**6)])
def test_the_official_cut_off_is_lowered_to_the_real_rows(rows, k, generator):
    """Any k beyond the real rows is the number of real rows, with a queue beside them that of both; paper's k stays."""
    embeddings = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    labels = torch.arange(rows) % 3
    drawn = generator.get_state()

    def loss(cut_offs, preset="official", memory=None):
        generator.set_state(drawn)
        simix = SiMix(generator=generator)
        criterion = RankingLoss(
            recall_at_k_loss, k=cut_offs, temperature=0.05, preset=preset, simix=simix, memory=memory
        )
        return criterion.eval()(embeddings, labels)

    def lowered(limit):
        return min(k, limit) if isinstance(k, int) else tuple(min(one, limit) for one in k)

    torch.testing.assert_close(loss(k), loss(lowered(rows)))
    assert loss(k) != loss(lowered(rows - 1))
    memory = MemoryQueue(8, 5, dtype=torch.float64)
    memory.push(torch.randn(2, 5, generator=generator), torch.tensor([0, 1]))
    torch.testing.assert_close(loss(k, memory=memory), loss(lowered(rows + 2), memory=memory))
    assert loss(k, "paper") != loss(lowered(rows - 1), "paper")


@pytest.mark.parametrize("virtual_queries", [True, False])
def test_gradient_through_mixed_ranks(virtual_queries, generator):
    """float64 gradcheck from the real rows through normalisation, mixing and ranks."""
    rows, labels = batch(generator)
    state = generator.get_state()
    criterion = RankingLoss(
        recall_at_k_loss,
        temperature=0.1,
        k=(1, 2),
        simix=SiMix(2, virtual_queries=virtual_queries, generator=generator),
    )

    def value(leaf: Tensor) -> Tensor:
        generator.set_state(state)
        return criterion(leaf, labels)

    assert torch.autograd.gradcheck(value, (rows.clone().requires_grad_(),))


def test_half_precision_is_mixed_in_float32(generator):
    """Mixtures of bfloat16 rows are float32, and the gradient comes back in bfloat16."""
    rows, labels = batch(generator)
    leaf = rows.bfloat16().requires_grad_()
    virtual = SiMix(generator=generator).draw(labels)
    mixed = mix_rows(leaf, virtual)
    assert mixed.dtype == torch.float32
    mixed.sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == torch.bfloat16
    assert bool(leaf.grad.isfinite().all())


def test_by_name_and_by_setting(generator):
    """`recall_at_k+simix` is the setting `simix: true`; its own settings go inside."""
    rows, labels = batch(generator)

    def value(loss) -> torch.Tensor:
        torch.manual_seed(0)
        return loss(rows, labels)

    def with_simix(simix: SiMix | None, **settings) -> torch.Tensor:
        return value(RankingLoss(recall_at_k_loss, temperature=0.05, simix=simix, **settings))

    for name, settings in (("recall_at_k+simix", {}), ("recall_at_k", {"simix": True})):
        assert torch.equal(value(named_objective(name, settings)), with_simix(SiMix()))
    inside = {"simix": {"pairs_per_class": 1, "virtual_queries": False}, "k": 1}
    for name in ("recall_at_k", "recall_at_k+simix"):
        wanted = with_simix(SiMix(1, virtual_queries=False), k=1)
        assert torch.equal(value(named_objective(name, inside)), wanted)
    assert torch.equal(value(named_objective("recall_at_k", {"simix": False})), with_simix(None))
    assert not torch.equal(with_simix(None), with_simix(SiMix()))


@pytest.mark.slow
def test_a_tuned_run_resumes_to_the_same_weights(tmp_path):
    """The shares come from the random state that a checkpoint holds: cut and resumed equals uninterrupted."""

    class Stop(Exception):
        """Ends the run in the middle of a stage."""

    def strike(event):
        if event["event"] == "progress" and event["what"] == "seed 0 tuned" and event["done"] == 7:
            raise Stop

    plan = Plan(steps=12, evaluate_every=4, checkpoint_every=5)
    settings = {
        "method": "surrogate:recall_at_k+simix",
        "settings": {"objective": {"simix": {"pairs_per_class": 3}}},
    }
    run = {"seed": 0, "plan": plan, **settings}
    small_run(tmp_path / "whole", **run)
    with pytest.raises(Stop):
        small_run(tmp_path / "cut", observer=strike, **run)
    small_run(tmp_path / "cut", **run)
    assert same_weights(tmp_path / "whole", tmp_path / "cut") == []
    small_run(tmp_path / "plain", **{**run, "method": "surrogate:recall_at_k", "settings": {}})
    assert same_weights(tmp_path / "whole", tmp_path / "plain")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("recall_at_k+simx", {}, "option 'simx'"),
        ("recall_at_k+simix", {"simix": False}, "one of them"),
        ("recall_at_k", {"simix": "yes"}, "simix is 'yes'"),
        ("recall_at_k", {"simix": {"pairs": 2}}, "Did you mean 'pairs_per_class'"),
        ("recall_at_k", {"simix": {"pairs_per_class": 0}}, "pairs_per_class is 0"),
        ("recall_at_k", {"simix": {"virtual_queries": "no"}}, "virtual_queries is 'no'"),
        ("supcon+simix", {}, "no setting 'simix'"),
    ],
)
def test_names_and_settings_that_do_not_fit(name, settings, message):
    """Each is refused before anything is trained, with what was expected."""
    with pytest.raises(InputError, match=message):
        named_objective(name, settings)


def test_what_does_not_fit_is_refused(generator):
    """Numbers of rows that are not there, fields of unequal length, no square matrix, references beside SiMix."""
    rows, labels = batch(generator)
    zero, share = torch.tensor([0]), torch.tensor([0.5])
    with pytest.raises(InputError, match="rows 0 to 10 of 10"):
        mix_rows(rows, VirtualRows(zero, zero + 10, share))
    with pytest.raises(InputError, match="one length"):
        mix_rows(rows, VirtualRows(zero, zero, share.repeat(2)))
    with pytest.raises(InputError, match="square"):
        mix_similarities(rows, VirtualRows(zero, zero + 1, share))
    criterion = RankingLoss(recall_at_k_loss, temperature=0.1, simix=SiMix())
    with pytest.raises(InputError, match="simix was set"):
        criterion(rows, labels, ref_emb=rows, ref_labels=labels)
