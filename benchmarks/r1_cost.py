"""R1 exactly, by a finite difference, and lazily: what each costs, and how far the estimate is off.

`python benchmarks/r1_cost.py [--size=32] [--width=64]`

A discriminator of DCGAN trained for some steps against noise, so that it is not flat; costs are of its
gradient with the penalty in it, as multiples of that without, medians of runs taken in turn.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import losses, penalties
from jaxgan.models import dcgan

BATCH, ROUNDS, SIGMAS = 64, 15, (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args()
    shape = (options.size, options.size, 3)
    network = dcgan.Discriminator(shape, width=options.width)
    real, fake = (_images(key, shape, smooth) for key, smooth in ((0, True), (1, False)))
    params = _trained(network, real, fake)
    keys = jax.random.split(jax.random.key(2), BATCH)

    def critic(images: jax.Array, params: Any) -> jax.Array:
        return network.apply(params, images, train=True)  # type: ignore[return-value]

    def without(params: Any) -> jax.Array:
        return jnp.mean(losses.non_saturating.discriminator(critic(real, params), critic(fake, params)))

    def exactly(params: Any) -> jax.Array:
        return without(params) + jnp.mean(penalties.r1(lambda x: critic(x, params), real))

    def estimated(params: Any) -> jax.Array:
        return without(params) + jnp.mean(penalties.approximate_r1(lambda x: critic(x, params), real, keys))

    terms = {"without": without, "r1": exactly, "approximate": estimated}
    cost = _medians({name: jax.jit(jax.grad(term)) for name, term in terms.items()}, params)
    exact = float(jnp.mean(jax.jit(lambda: penalties.r1(lambda x: critic(x, params), real))()))
    bias = {str(sigma): _relative(critic, params, real, sigma, exact) for sigma in SIGMAS}
    result = {
        "device": jax.devices()[0].device_kind,
        "shape": shape,
        "batch": BATCH,
        "r1": round(cost["r1"] / cost["without"], 2),
        "r1_every_16": round(1 + (cost["r1"] / cost["without"] - 1) / 16, 2),
        "approximate_r1": round(cost["approximate"] / cost["without"], 2),
        "estimate_over_exact_by_sigma": bias,
    }
    print(json.dumps(result))


def _images(seed: int, shape: tuple[int, ...], smooth: bool) -> jax.Array:
    noise = np.random.default_rng(seed).normal(size=(BATCH, *shape))
    if smooth:
        noise = noise.cumsum(1).cumsum(2) / shape[0]
    return jnp.asarray(np.tanh(noise), jnp.float32)


def _trained(network: dcgan.Discriminator, real: jax.Array, fake: jax.Array) -> Any:
    params = jax.jit(lambda: network.init(jax.random.key(0), real, train=True))()
    optimizer = optax.adam(2e-4, b1=0.5)

    def loss(params: Any) -> jax.Array:
        logits: list[Any] = [network.apply(params, images, train=True) for images in (real, fake)]
        return jnp.mean(losses.non_saturating.discriminator(*logits))

    def step(carry: Any, _: None) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, length=5))(params)
    return params


def _medians(functions: dict[str, Callable[[Any], Any]], params: Any) -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function(params))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            began = time.perf_counter()
            jax.block_until_ready(function(params))
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def _relative(critic: Any, params: Any, images: jax.Array, sigma: float, exact: float) -> list[float]:
    """The estimate over the exact value, and the standard error of that, over 64 draws of noise."""

    def draw(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(images))
        return jnp.mean(penalties.approximate_r1(lambda x: critic(x, params), images, keys, sigma=sigma))

    values = jax.jit(lambda keys: jax.lax.map(draw, keys))(jax.random.split(jax.random.key(3), 64)) / exact
    return [round(float(values.mean()), 4), round(float(values.std() / 8), 4)]


if __name__ == "__main__":
    main()
