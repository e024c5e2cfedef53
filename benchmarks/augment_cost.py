"""What augmentation costs beside the discriminator that it feeds.

`python benchmarks/augment_cost.py [--batch=64] [--size=64] [--width=64]`

Every operation alone and every named policy, jitted, at p = 0.8, against the DCGAN discriminator on the same
batch: the forward pass, and the forward pass with the gradient in the images. The programs take turns,
so that other work on the machine hits all of them; what is printed is the ratio of medians.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.augment import OPERATIONS, POLICIES, make_augment
from jaxgan.models.dcgan import Discriminator

P = 0.8  # the cost does not depend on it
DISCRIMINATOR = "discriminator"
Program = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments, the images first


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    shape = (options.batch, options.size, options.size, 3)
    programs = _programs(shape, options.width)
    forward = _medians({name: jax.jit(f) for name, (f, _) in programs.items()}, programs, options.rounds)
    gradient = _medians({name: _gradient(f) for name, (f, _) in programs.items()}, programs, options.rounds)
    result = {
        "device": jax.devices()[0].device_kind,
        "shape": shape,
        "discriminator_ms": [round(1e3 * times[DISCRIMINATOR], 1) for times in (forward, gradient)],
        "ratio": {
            name: {
                "forward": round(forward[name] / forward[DISCRIMINATOR], 3),
                "forward_and_gradient": round(gradient[name] / gradient[DISCRIMINATOR], 3),
            }
            for name in programs
            if name != DISCRIMINATOR
        },
    }
    print(json.dumps(result))


def _programs(shape: tuple[int, int, int, int], width: int) -> dict[str, Program]:
    """The discriminator and every augmentation, by name.

    Their arguments stay arguments, so that XLA cannot do a part of the work once and for all.
    """
    images = jax.random.uniform(jax.random.key(0), shape, minval=-1.0)
    keys = jax.random.split(jax.random.key(2), len(images))
    discriminator = Discriminator((shape[1], shape[2], shape[3]), width=width)
    variables = discriminator.init(jax.random.key(1), images, train=False)

    def judge(images: jax.Array, variables: Any) -> Any:
        return discriminator.apply(variables, images, train=False)

    def augmentation(policy: str) -> Callable[..., Any]:
        augment = make_augment(policy)
        return lambda images, keys, p: augment(images, keys, p=p)

    augmentations = {name: augmentation(name) for name in [*OPERATIONS, *POLICIES]}
    return {
        DISCRIMINATOR: (judge, (images, variables)),
        **{name: (function, (images, keys, jnp.float32(P))) for name, function in augmentations.items()},
    }


def _gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(jax.grad(lambda images, *others: jnp.sum(function(images, *others) ** 2)))


def _medians(
    functions: dict[str, Callable[..., Any]], programs: dict[str, Program], rounds: int
) -> dict[str, float]:
    """Seconds a call, the median of `rounds` in which each function has one turn."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for count in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*programs[name][1]))
            if count > 0:  # the first turn compiles
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


if __name__ == "__main__":
    main()
