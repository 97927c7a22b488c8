"""The innermost loops of the CPU kernel: steps and slopes of one contiguous piece of a row, written to vectorise.

Every loop runs over a hundred scores that lie in the first-level cache. The exponential is made of additions and
multiplications alone, because a call into the mathematics library would stop the compiler from using vectors.

A step needs exp((level - score) / t). For positives whose levels lie close together it is a product of two factors,
exp((level - centre) / t) and exp((centre - score) / t), and the second is made once for all of them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import int32, int64, types
from numba.extending import intrinsic, overload

from metricgrad.relax.kernels.compiled import REORDERED, inlined

__all__ = [
    "REACH",
    "add_slopes_of_many",
    "add_slopes_of_one",
    "add_steps_of_many",
    "exponential",
    "fill_factors_of_many",
    "fill_factors_of_one",
    "largest",
    "own_factor",
    "steps_of_one",
]


@intrinsic
def _float32_of_bits(_context: Any, bits: Any) -> Any:
    """Read the 32 bits of an integer as a float."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _float64_of_bits(_context: Any, bits: Any) -> Any:
    """Read the 64 bits of an integer as a float."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def _fused(_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), generate


def exponential(x: float, rest: float) -> float:
    """Return exp(x + rest), rest small, to a unit in the last place; x beyond +-87 (+-708 in float64) is cut there.

    x = k ln 2 + r with |r| <= ln 2 / 2: the Taylor series of r to the 7th (13th) power, then k into the exponent
    of the float. The remainder of the series is below 6e-9 (5e-18).
    """
    return math.exp(x + rest)


_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = (
    0.693359375,
    math.log(2.0) - 0.693359375,
)  # the high part has 9 bits: k times it is exact
_TAYLOR = [1.0 / math.factorial(power) for power in range(14)]
_T2, _T3, _T4, _T5, _T6, _T7, _T8, _T9, _T10, _T11, _T12, _T13 = _TAYLOR[2:]
_F2, _F3, _F4, _F5, _F6, _F7 = (np.float32(value) for value in _TAYLOR[2:8])
_F_LOG2_E, _F_HIGH, _F_LOW = np.float32(_LOG2_E), np.float32(_LN2_HIGH), np.float32(_LN2_LOW)
_F_ONE, _F_HALF, _F_LIMIT = np.float32(1), np.float32(0.5), np.float32(87)
# ln 2 in two parts for float64: the high one has 32 bits, so that k times it is exact
_D_HIGH = math.floor(math.log(2.0) * 2**32) / 2**32
_D_LOW = 0.6931471805599453 - _D_HIGH + 2.3190468138462996e-17  # what the float ln 2 itself leaves out


@overload(exponential, jit_options={"fastmath": {"contract", "nnan"}})
def _exponential(x: Any, rest: Any) -> Callable[..., Any]:
    if x == types.float32:

        def single(x: Any, rest: Any) -> Any:
            if x < -_F_LIMIT:
                x = -_F_LIMIT
            if x > _F_LIMIT:
                x = _F_LIMIT
            k = np.floor(x * _F_LOG2_E + _F_HALF)
            r = x - k * _F_HIGH - k * _F_LOW + rest
            p = r * _F7 + _F6
            p = p * r + _F5
            p = p * r + _F4
            p = p * r + _F3
            p = p * r + _F2
            p = p * r + _F_ONE
            p = p * r + _F_ONE
            return p * _float32_of_bits(int32((int32(k) + int32(127)) << int32(23)))  # pyright: ignore[reportCallIssue]

        return single

    def double(x: Any, rest: Any) -> Any:
        if x < -708.0:
            x = -708.0
        if x > 708.0:
            x = 708.0
        k = np.floor(x * _LOG2_E + 0.5)
        r = x - k * _D_HIGH - k * _D_LOW + rest
        p = r * _T13 + _T12
        p = p * r + _T11
        p = p * r + _T10
        p = p * r + _T9
        p = p * r + _T8
        p = p * r + _T7
        p = p * r + _T6
        p = p * r + _T5
        p = p * r + _T4
        p = p * r + _T3
        p = p * r + _T2
        p = p * r + 1.0
        p = p * r + 1.0
        return p * _float64_of_bits(int64((int64(int32(k)) + 1023) << 52))  # pyright: ignore[reportCallIssue]

    return double


REACH = 4.0
"""How far a level may lie from its centre, in temperatures: further away the factors lose float precision."""


@inlined(REORDERED)
def _factor(difference, scale, limit):
    """Return exp(difference * scale), the difference cut at +-limit.

    What the product loses in rounding is given to the exponential apart: an error of an exponent is a relative one of
    a slope.
    """
    if difference > limit:
        difference = limit
    if difference < -limit:
        difference = -limit
    u = difference * scale
    return exponential(u, _fused(difference, scale, -u))  # pyright: ignore[reportCallIssue]


@inlined(REORDERED)
def fill_factors_of_one(scores, centre, scale, factors):
    """Fill the factors exp((centre - score) * scale) of many items for one query.

    The exponent is cut at +-70 (+-600 in float64), where every step is 0 or 1 and no product overflows.
    """
    limit = scores.dtype.type(70 if scores.itemsize == 4 else 600) / scale
    for z in range(scores.shape[0]):
        factors[z] = _factor(centre - scores[z], scale, limit)


@inlined(REORDERED)
def fill_factors_of_many(scores, centres, scale, factors):
    """Fill the factors exp((centre - score) * scale) of one item for many queries, each with a centre of its own."""
    limit = scores.dtype.type(70 if scores.itemsize == 4 else 600) / scale
    for z in range(scores.shape[0]):
        factors[z] = _factor(centres[z] - scores[z], scale, limit)


def own_factor(level: Any, centre: Any, scale: Any) -> Any:
    """Return exp((level - centre) * scale) in float64.

    The centre is level + reach, rounded. In float64 a compiler that may reorder cancels the levels and takes the reach
    itself; a level that is large for its temperature then meets itself with another step than 1/2.
    """
    return exponential((np.float64(level) - np.float64(centre)) * np.float64(scale), 0.0)


@overload(own_factor, jit_options={"fastmath": set(REORDERED)})
def _own_factor_of_single(level: Any, centre: Any, scale: Any) -> Callable[..., Any] | None:
    return own_factor if level == types.float32 else None


@overload(own_factor, jit_options={"fastmath": set(REORDERED - {"reassoc"})})
def _own_factor_of_double(level: Any, centre: Any, scale: Any) -> Callable[..., Any] | None:
    return own_factor if level == types.float64 else None


@inlined(REORDERED)
def steps_of_one(factors, own, laplace):
    """Return the sum over items of the steps past one level, whose own factor is `own`."""
    one, half, total = factors.dtype.type(1), factors.dtype.type(0.5), factors.dtype.type(0)
    if laplace:
        for z in range(factors.shape[0]):
            v = own * factors[z]
            total += one - half * v if v < one else half / v
    else:
        for z in range(factors.shape[0]):
            total += one / (one + own * factors[z])
    return total


@inlined(REORDERED)
def add_steps_of_many(factors, owns, laplace, sums):
    """Add to sums[z] the step past the level of query z: one item as seen by many queries."""
    one, half = factors.dtype.type(1), factors.dtype.type(0.5)
    if laplace:
        for z in range(factors.shape[0]):
            v = owns[z] * factors[z]
            sums[z] += one - half * v if v < one else half / v
    else:
        for z in range(factors.shape[0]):
            sums[z] += one / (one + owns[z] * factors[z])


@inlined(REORDERED)
def add_slopes_of_one(factors, own, laplace, weight, gradient):
    """Add weight * slope to the gradient of every item; return the sum of the slopes."""
    one, half, total = factors.dtype.type(1), factors.dtype.type(0.5), factors.dtype.type(0)
    if laplace:
        for z in range(factors.shape[0]):
            v = own * factors[z]
            slope = half * v if v < one else half / v
            gradient[z] += weight * slope
            total += slope
    else:
        for z in range(factors.shape[0]):
            v = own * factors[z]
            below = one / (one + v)
            slope = v * below * below
            gradient[z] += weight * slope
            total += slope
    return total


@inlined(REORDERED)
def add_slopes_of_many(factors, owns, laplace, weights, gradient, sums):
    """Add weights * slope to the gradient of one item as seen by many queries, and the slopes to their sums.

    A query without a positive in this place has 0 as its own factor, and no slope.
    """
    one, half = factors.dtype.type(1), factors.dtype.type(0.5)
    if laplace:
        for z in range(factors.shape[0]):
            v = owns[z] * factors[z]
            slope = half * v if v < one else half / v
            gradient[z] += weights[z] * slope
            sums[z] += slope
    else:
        for z in range(factors.shape[0]):
            v = owns[z] * factors[z]
            below = one / (one + v)
            slope = v * below * below
            gradient[z] += weights[z] * slope
            sums[z] += slope


@inlined(REORDERED)
def largest(scores):
    """Return the largest of the scores; none may be NaN."""
    best = scores[0]
    for z in range(1, scores.shape[0]):
        if scores[z] > best:
            best = scores[z]
    return best
