"""How one array becomes another: PyTorch's axes and ours, there and back, bit for bit where nothing is said.

PyTorch's convolutions are [O,I,h,w], transposed ones [I,O,h,w], dense layers [O,I], and a grid laid out in a
row runs over channels, rows, columns. Ours are [h,w,I,O], [I,O], and rows, columns, channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Arrays = tuple[np.ndarray, ...]
Grid = tuple[int, int, int]  # height, width, channels


class Rule(NamedTuple):
    """What becomes of arrays of theirs (`ours`), and of arrays of ours (`theirs`)."""

    ours: Callable[..., Arrays]
    theirs: Callable[..., Arrays]


def moved(*axes: int) -> Rule:
    """Axis `axes[i]` of theirs is axis i of ours."""
    return Rule(lambda array: (array.transpose(axes),), lambda array: (array.transpose(np.argsort(axes)),))


SAME = Rule(lambda array: (array,), lambda array: (array,))
SCALAR = Rule(lambda array: (array.reshape(()),), lambda array: (array.reshape(1),))
DENSE = moved(1, 0)
CONV = moved(2, 3, 1, 0)
# A transposed convolution is the derivative of a convolution, whose kernel is turned around.
CONV_TRANSPOSED = Rule(
    lambda kernel: (kernel.transpose(2, 3, 0, 1)[::-1, ::-1],),
    lambda kernel: (kernel[::-1, ::-1].transpose(2, 3, 0, 1),),
)
NOTHING = Rule(lambda *_: (), lambda: (np.zeros((), np.int64),))  # a counter of batches


def dense_onto(grid: Grid) -> Rule:
    """A dense layer whose outputs are a grid: theirs [C h w, Z], ours [Z, h w C]."""
    h, w, c = grid
    return Rule(
        lambda array: (array.reshape(c, h, w, -1).transpose(3, 1, 2, 0).reshape(-1, h * w * c),),
        lambda array: (array.reshape(-1, h, w, c).transpose(3, 1, 2, 0).reshape(c * h * w, -1),),
    )


def bias_onto(grid: Grid) -> Rule:
    """The bias of such a layer: theirs [C h w], ours [h w C]."""
    h, w, c = grid
    return Rule(
        lambda array: (array.reshape(c, h, w).transpose(1, 2, 0).ravel(),),
        lambda array: (array.reshape(h, w, c).transpose(2, 0, 1).ravel(),),
    )


def point_onto(grid: Grid) -> Rule:
    """A transposed convolution of one pixel: theirs [Z,C,h,w], ours a dense layer [Z, h w C]."""
    h, w, c = grid
    return Rule(
        lambda array: (array.transpose(0, 2, 3, 1).reshape(-1, h * w * c),),
        lambda array: (array.reshape(-1, h, w, c).transpose(0, 3, 1, 2),),
    )


def grid_onto_point(grid: Grid) -> Rule:
    """A convolution as large as its grid: theirs [O,C,h,w], ours a dense layer [h w C, O]."""
    h, w, c = grid
    return Rule(
        lambda array: (array.transpose(2, 3, 1, 0).reshape(h * w * c, -1),),
        lambda array: (array.reshape(h, w, c, -1).transpose(3, 2, 0, 1),),
    )


def unrolled(grid: Grid) -> Rule:
    """A dense layer that sees a grid: theirs [O, C h w], ours [h w C, O]."""
    h, w, c = grid
    inner = grid_onto_point(grid)
    return Rule(
        lambda array: inner.ours(array.reshape(-1, c, h, w)),
        lambda array: (inner.theirs(array)[0].reshape(-1, c * h * w),),
    )


def turned(rule: Rule) -> Rule:
    """A convolution whose kernel is turned around: ours sees [h,w] from the other end."""
    return Rule(
        lambda array: (rule.ours(array)[0][::-1, ::-1],), lambda array: rule.theirs(array[::-1, ::-1])
    )


def rolled(rule: Rule, count: int) -> Rule:
    """A dense layer whose first `count` inputs of theirs are ours' last."""
    return Rule(
        lambda array: (np.roll(rule.ours(array)[0], -count, axis=0),),
        lambda array: rule.theirs(np.roll(array, count, axis=0)),
    )


# Spectral normalisation: theirs are a kernel, a left singular vector [O] and something more, ours a kernel,
# the vector [1,O] and the singular value of the last step of training. When it is called, ours takes a step
# of the power iteration from the vector on, and divides by the value that this finds.


def refined(rule: Rule) -> Rule:
    """A weight, a vector [1,O] and the value [1] of the last step, of networks that do as ours: the same."""

    def ours(kernel: np.ndarray, u: np.ndarray, sigma: np.ndarray) -> Arrays:
        return *rule.ours(kernel), _along(rule.ours, kernel, u[0], to_last=True)[None], sigma.reshape(())

    def theirs(kernel: np.ndarray, u: np.ndarray, sigma: np.ndarray) -> Arrays:
        return *rule.theirs(kernel), _along(rule.theirs, kernel, u[0], to_last=False)[None], sigma.reshape(1)

    return Rule(ours, theirs)


def stored(rule: Rule) -> Rule:
    """`torch.nn.utils.spectral_norm`'s weight_orig, weight_u [O] and weight_v [I h w].

    It divides by u W v, a step before ours: the same once the iteration has converged. v is made anew.
    """

    def ours(kernel: np.ndarray, u: np.ndarray, v: np.ndarray) -> Arrays:
        sigma = np.asarray(u @ (_rows(kernel) @ v))
        return *rule.ours(kernel), _along(rule.ours, kernel, u, to_last=True)[None], sigma

    def theirs(kernel: np.ndarray, u: np.ndarray, sigma: np.ndarray) -> Arrays:
        (weight,) = rule.theirs(kernel)
        left = _along(rule.theirs, kernel, u[0], to_last=False)
        return weight, left, _unit(left @ _rows(weight))

    return Rule(ours, theirs)


# Of an embedding [N,F], which both have so, their vector is [1,N] and ours [1,F]: half a step apart. Theirs
# is put last, to be made anew.
EMBEDDING = Rule(
    lambda kernel, sigma, u: (kernel, _unit(u @ kernel), sigma.reshape(())),
    lambda kernel, u, sigma: (kernel, sigma.reshape(1), _unit(u @ kernel.T)),
)


def _rows(kernel: np.ndarray) -> np.ndarray:
    """A kernel of theirs as a matrix [O, the rest]."""
    return kernel.reshape(len(kernel), -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector), np.float32(1e-12))


def _along(
    move: Callable[..., Arrays], kernel: np.ndarray, vector: np.ndarray, *, to_last: bool
) -> np.ndarray:
    """A vector [O] in the order that outputs have after a move of the kernel: first axis to last, or back."""
    if to_last:
        spread = np.broadcast_to(vector.reshape(-1, *[1] * (kernel.ndim - 1)), kernel.shape)
        return move(spread)[0].reshape(-1, len(vector))[0]
    return _rows(move(np.broadcast_to(vector, kernel.shape))[0])[:, 0]
