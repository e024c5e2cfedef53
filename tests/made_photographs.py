"""Parts of scikit-learn's two photographs, a temple and a flower: real images that are always at hand."""

from functools import cache

import numpy as np


@cache
def _photographs():
    from sklearn.datasets import load_sample_images

    return np.stack([image[::4, ::4] for image in load_sample_images().images])


def tiles(size, count=12):
    """Of each photograph, at a quarter of its size: uint8 [2,count,*size,3]; up to 12 of up to 29x36."""
    photographs = _photographs()
    corners = [(26 * (i // 4), 36 * (i % 4)) for i in range(count)]
    return np.stack([photographs[:, y : y + size[0], x : x + size[1]] for y, x in corners], axis=1)


def in_grey(images):
    """[...,C] -> [...,1]."""
    return images.mean(-1, keepdims=True).astype(np.uint8)
