"""Lightning: the loaders of a data module as the splits of `tune`.

A `LightningModule` is a network: a loss of ours is called in its `training_step` as any other, and `tune` takes it as
it is, also after a Trainer has trained it. Nothing of Lightning is imported.
"""

from collections.abc import Callable
from typing import Any

from metricgrad._checks import describe, fail
from metricgrad.tune import Splits

__all__ = ["splits_of"]


def splits_of(data: Any, *, unpack: Callable[[Any], Any] | None = None, test: bool = True) -> Splits:
    """Return the loaders of a data module as splits: train is fit, val is select, test is test.

    Args:
        data: a `LightningDataModule`, or a `LightningModule` that has its own loaders. It is prepared as by a Trainer:
            `prepare_data()`, then `setup("fit")` and `setup("test")`.
        unpack: batch -> (inputs, targets), for batches of another form.
        test: whether it has a loader for test; without one a run claims nothing.

    Raises:
        InputError: a loader is missing, or there are several for one split.

    Example:
        >>> class Data:
        ...     def prepare_data(self): ...
        ...     def setup(self, stage): ...
        ...     def train_dataloader(self):
        ...         return Batches("train")
        ...
        ...     def val_dataloader(self):
        ...         return Batches("val")
        >>> class Batches(str): ...
        >>> splits = splits_of(Data(), test=False)
        >>> splits.fit, splits.select, splits.test
        ('train', 'val', None)
    """
    data.prepare_data()
    data.setup("fit")
    fit, select = (_loader(data, name) for name in ("train_dataloader", "val_dataloader"))
    if not test:
        return Splits(fit, select, unpack=unpack)
    data.setup("test")
    return Splits(fit, select, _loader(data, "test_dataloader"), unpack=unpack)


def _loader(data: Any, name: str) -> Any:
    """Return one loader by the name of its method."""
    remedy = "Pass test=False for a run without a test split." if name == "test_dataloader" else ""
    try:
        loader = getattr(data, name)()
    except Exception as error:  # Lightning raises errors of its own where a method is not written
        came = f"{type(data).__name__}.{name}() raised {type(error).__name__}: {error}"
        raise fail("splits_of", came, "a loader", remedy) from error
    if loader is None or isinstance(loader, dict | list | tuple):
        came = f"{type(data).__name__}.{name}() is {describe(loader)}"
        raise fail(
            "splits_of", came, "one loader", remedy or "Choose one: metricgrad.Splits(fit, select, test)."
        )
    return loader
