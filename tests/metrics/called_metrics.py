"""Metrics of a user in every form that Python can call, all of them precision."""

import functools

import torch
from torch import nn


def share(hits, of) -> float:
    """Hits among those."""
    return float((hits & of).sum() / of.sum())


def precision(y_true, y_pred):
    """The truth first."""
    return share(y_true == 1, y_pred == 1)


def of_targets(targets, outputs):
    """The truth first, under torch's name."""
    return share(targets == 1, outputs == 1)


def outputs_first(outputs, targets):
    """The common order."""
    return of_targets(targets, outputs)


def logged(function):
    """A decorator that keeps the signature."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Holder:
    """Precision as a method, a static method and the object itself."""

    def method(self, y_true, y_pred):
        """Bound."""
        return precision(y_true, y_pred)

    @staticmethod
    def static(y_true, y_pred):
        """Static."""
        return precision(y_true, y_pred)

    def __call__(self, target, prediction, *, scale=1.0):
        """Called."""
        return scale * of_targets(target, prediction)


class Number(float):
    """A class whose objects are the value."""

    def __new__(cls, y_true, y_pred):
        """Made of the truth and the prediction."""
        return super().__new__(cls, precision(y_true, y_pred))


class Module(nn.Module):
    """A module, whose `__call__` hides the names that `forward` has."""

    def forward(self, y_true: torch.Tensor, y_pred: torch.Tensor) -> float:
        """Truth first."""
        return precision(y_true, y_pred)


FORMS = {
    "function": precision,
    "targets first": of_targets,
    "outputs first": outputs_first,
    "decorated": logged(precision),
    "decorated method": logged(Holder().method),
    "lambda": lambda y_true, y_pred: precision(y_true, y_pred),
    "bound method": Holder().method,
    "static method": Holder.static,
    "static method object": Holder.__dict__["static"],
    "object": Holder(),
    "partial of an object": functools.partial(Holder(), scale=1.0),
    "partial of a partial": functools.partial(functools.partial(precision)),
    "partial by place": functools.partial(
        lambda scale, y_true, y_pred: scale * precision(y_true, y_pred), 1.0
    ),
    "class": Number,
    "module": Module(),
}
