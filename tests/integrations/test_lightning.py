"""A LightningModule with a loss of ours, and as the network of `tune`."""

from pathlib import Path

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import metricgrad as mg
from metricgrad.errors import InputError
from metricgrad.integrations.lightning import splits_of
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("lightning")


class Classifier(lightning.LightningModule):
    """One layer, a smooth F1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(5, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.layer(inputs)

    def training_step(self, batch, number: int) -> torch.Tensor:
        """The loss of a batch."""
        return mg.losses.focal_loss(self(batch[0]), batch[1]).mean()

    def configure_optimizers(self):
        """Plain descent."""
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Data(lightning.LightningDataModule):
    """Three loaders of 24, 30 and 60 rows."""

    def rows(self, count: int) -> DataLoader:
        """One loader."""
        generator = torch.Generator().manual_seed(count)
        inputs = torch.randn(count, 5, generator=generator)
        return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), batch_size=6)

    def train_dataloader(self):
        """24 rows."""
        return self.rows(24)

    def val_dataloader(self):
        """30 rows."""
        return self.rows(30)

    def test_dataloader(self):
        """60 rows."""
        return self.rows(60)


def fitted() -> Classifier:
    """A module after one epoch."""
    module = Classifier()
    silent = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    lightning.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **silent).fit(
        module, Data()
    )
    return module


def test_training_is_that_of_a_plain_loop():
    """The Trainer and a loop without it end with the same weights."""
    module, plain = fitted(), Classifier()
    optimizer = plain.configure_optimizers()
    for batch in Data().train_dataloader():
        optimizer.zero_grad()
        plain.training_step(batch, 0).backward()
        optimizer.step()
    torch.testing.assert_close(module.state_dict(), plain.state_dict())


def test_tune_takes_a_module_and_its_data():
    """After fit: start is the module as it is, its splits are the three loaders, and the weights go back."""
    module, events = fitted(), []
    before = {name: value.clone() for name, value in module.state_dict().items()}
    result = mg.tune(
        module,
        splits_of(Data()),
        metric="accuracy",
        proxy=nn.CrossEntropyLoss(),
        method="direct:multiclass",
        plan={"steps": 8},
        observer=events.append,
    )
    torch.testing.assert_close(module.state_dict(), before)
    assert isinstance(result.model, Classifier) and result.model._trainer is None
    units = [event["units"] for event in events if event["event"] == "tested"]
    assert units and set(units) == {60}
    (start,) = (event["value"] for event in events if event["event"] == "tested" and event["arm"] == "start")
    inputs, labels = Data().test_dataloader().dataset.tensors
    assert result.verdict in {"gain", "no evidence", "worse"}
    if not [event for event in events if event["event"] == "rule_fitted"]:
        assert start == pytest.approx((module(inputs).argmax(1) == labels).double().mean().item())
    module.load_state_dict(result.model.state_dict())
    torch.testing.assert_close(module(inputs), result.model(inputs))


def test_loaders_are_refused_by_name():
    """None for test, several for select."""

    class NoTest(Data):
        test_dataloader = lightning.LightningDataModule.test_dataloader

    class Several(Data):
        def val_dataloader(self):
            return [self.rows(30), self.rows(30)]

    with pytest.raises(InputError, match=r"NoTest.test_dataloader\(\) raised .* Pass test=False"):
        splits_of(NoTest())
    assert splits_of(NoTest(), test=False).test is None
    with pytest.raises(InputError, match=r"Several.val_dataloader\(\) is .* expected one loader"):
        splits_of(Several())


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/lightning.md is a program."""
    page = run_page("lightning.md", tmp_path, monkeypatch)
    assert page.result.verdict in {"gain", "no evidence", "worse"}
