"""Modes of Stacked MNIST under four objectives, over the images shown.

`python benchmarks/stacked_mnist.py TRAIN.npz TEST.npz RUNS [OBJECTIVE ...] [--set FIELD=VALUE ...]`

The files hold MNIST, `image` uint8 [N,28,28,1] and `label` int [N]. Three random digits make the channels
of an image, so that there are 1,000 modes, all as frequent. Each objective trains in a directory of its own
under RUNS, and goes on from there when called again. At every checkpoint a network that was trained on the
digits reads 26,000 samples of the averaged generator. Prints a line of JSON for each: modes that occur, and
the KL divergence of their frequencies from uniform ones, in nats.

Source: Lin et al. 2018 (PacGAN), section 4; Huang et al. 2024 (R3GAN), section 3.
"""

import argparse
import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxgan.metrics import Modes, mode_coverage

STACKS, SAMPLES = 128_000, 26_000  # PacGAN's numbers
OBJECTIVES = {
    "RpGAN+R1+R2": ("relativistic", ("r1", "r2")),
    "GAN+R1+R2": ("non_saturating", ("r1", "r2")),
    "RpGAN+R1": ("relativistic", ("r1",)),
    "GAN+R1": ("non_saturating", ("r1",)),
}
Reader = Callable[[np.ndarray], np.ndarray]


def get_config() -> Any:
    """The objective of R3GAN (relativistic pairs, R1 and R2) on a small DCGAN."""
    from configs import base  # of the repository, not of the installed package

    config = base.get_config()
    config.model.generator.width = config.model.discriminator.width = 32
    config.loss = "relativistic"
    config.penalties.r1 = config.penalties.r2 = 1.0
    for player in config.optimizer.values():
        player.update(learning_rate=2e-4, b1=0.0, b2=0.99)
    config.steps = 10_000
    config.log.every = 100
    config.checkpoint.every = config.sample.every = 2500
    config.checkpoint.keep = 100
    return config


class Digits(nn.Module):
    """Which digit? [B,28,28,1] in [0, 1] -> logits [B,10]."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = images
        for features in (16, 32):
            x = nn.relu(nn.Conv(features, (5, 5), strides=(2, 2))(x))
        return nn.Dense(10)(nn.relu(nn.Dense(128)(x.reshape(len(x), -1))))


def train_reader(images: np.ndarray, labels: np.ndarray, steps: int = 2500) -> Reader:
    """uint8 [N,28,28,1] -> digits [N]."""
    network = Digits()
    params = network.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, steps))

    @jax.jit
    def step(params, state, images, labels):  # type: ignore[no-untyped-def]
        def loss(params):  # type: ignore[no-untyped-def]
            logits = network.apply(params, images / 255.0)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, random = optimizer.init(params), np.random.default_rng(0)
    for _ in range(steps):
        part = random.integers(len(images), size=256)
        params, state = step(params, state, images[part], labels[part])
    read = jax.jit(lambda images: jnp.argmax(jnp.asarray(network.apply(params, images / 255.0)), axis=-1))
    return lambda images: np.concatenate([np.asarray(read(part)) for part in np.array_split(images, 20)])


def stack(images: np.ndarray, count: int) -> np.ndarray:
    """Three random digits each: uint8 [N,28,28,1] -> [count,28,28,3]."""
    which = np.random.default_rng(0).integers(len(images), size=(count, 3))
    return np.concatenate([images[which[:, channel]] for channel in range(3)], axis=-1)


def count_modes(stacks: np.ndarray, read: Reader) -> Modes:
    """How many of the 1,000 modes occur in [N,28,28,3], and how evenly."""
    digits = [read(stacks[..., channel, None]) for channel in range(3)]
    return mode_coverage(np.ravel_multi_index(tuple(digits), (10, 10, 10)), 1000)


def main() -> None:
    """Trains what is left to train and prints modes and divergence of every checkpoint."""
    from jaxgan import checkpoints, data, observation, training

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("runs", type=Path)
    parser.add_argument("objectives", nargs="*", default=list(OBJECTIVES))
    parser.add_argument("--set", nargs="*", default=[], metavar="FIELD=VALUE")
    options = parser.parse_args()
    with np.load(options.train) as train, np.load(options.test) as test:
        digits, labels = train["image"], train["label"]
        read = train_reader(digits, labels)
        real, accuracy = stack(test["image"], SAMPLES), (read(test["image"]) == test["label"]).mean()
    modes, divergence = count_modes(real, read)
    print(
        json.dumps({"real": modes, "kl": round(divergence, 4), "reader": round(float(accuracy), 4)}),
        flush=True,
    )
    source = data.from_arrays(stack(digits, STACKS), name="stacked_mnist")
    for objective in options.objectives:
        config = get_config()
        config.loss, penalties = OBJECTIVES[objective]
        for name in ("r1", "r2"):
            config.penalties[name] *= name in penalties
        for change in options.set:
            name, _, value = change.partition("=")
            config.update_from_flattened_dict({name: ast.literal_eval(value)})
        workdir = options.runs / objective
        try:
            training.train(config, workdir, source=source, progress=False)
        except observation.Diverged as error:
            print(json.dumps({"objective": objective, "diverged": str(error)}), flush=True)
        for step in range(config.checkpoint.every, config.steps + 1, config.checkpoint.every):
            try:
                run = training.open_run(workdir, step=step)
            except checkpoints.CheckpointError:
                break  # it diverged before
            modes, divergence = count_modes(run.sampler.draw(SAMPLES), read)
            kimg = int(run.state.images) // 1000
            line = {"objective": objective, "kimg": kimg, "modes": modes, "kl": round(divergence, 4)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main()
