"""Features that any version of any library makes alike, so that other packages' figures can be kept."""

import numpy as np


def made(count, size, *, start=0):
    """[count,size] float64 in [0, 1], rows start + 1 and on of one endless table."""
    rows = np.arange(start + 1, start + count + 1)[:, None]
    return np.sin(rows * np.sqrt(np.arange(2, size + 2))) ** 2


def pair(count, size):
    """Two sets that differ in mean and spread: [count,size] each."""
    return made(count, size), 1.5 * made(count, size, start=1000) + 0.1


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)
