"""Which losses and penalties cover 8 Gaussians on a ring and 25 on a grid?

`python benchmarks/toy_modes.py [ring] [grid] > docs/toy_modes.md`

Perceptrons (two hidden layers of 64 units), Adam, batches of 256, five seeds trained at once by `vmap`. Of
2,500 samples, those within three standard deviations of a Gaussian's centre are good; a Gaussian is covered
that has a tenth of its share of the samples among the good ones.
"""

import argparse
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import steps
from jaxgan.losses import LOSSES
from jaxgan.models import mlp
from jaxgan.penalties import PENALTIES
from jaxgan.tasks import synthesis

SEEDS, BATCH, SAMPLES, LATENT_SIZE = 5, 256, 2500, 2
# One weight for all, that of WGAN-GP's own toys; at its 10 for images neither it nor DRAGAN trains here.
PENALISED: dict[str, dict[str, float]] = {
    "none": {},
    "R1": {"r1": 0.1},
    "R1 + R2": {"r1": 0.1, "r2": 0.1},
    "WGAN-GP": {"wgan_gp": 0.1},
    "DRAGAN": {"dragan": 0.1},
}


def ring() -> tuple[np.ndarray, float]:
    """Eight centres on the circle of radius 1, and the Gaussians' standard deviation."""
    angles = np.arange(8) * np.pi / 4
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1), 0.02


def grid() -> tuple[np.ndarray, float]:
    """25 centres of a square grid from -1 to 1, and the Gaussians' standard deviation."""
    line = np.linspace(-1.0, 1.0, 5)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2), 0.02


def train(loss: str, weights: dict[str, float], centres: np.ndarray, deviation: float, count: int) -> Any:
    """Samples [SEEDS,SAMPLES,2] of generators after so many steps."""
    optimizer = optax.adam(1e-3, b1=0.0, b2=0.9)
    game = steps.Game(
        task=synthesis.make_task(LATENT_SIZE),
        generator=mlp.Generator((2,), width=64, depth=2),
        discriminator=mlp.Discriminator(width=64, depth=2),
        loss=LOSSES[loss],
        optimizers={"generator": optimizer, "discriminator": optimizer},
        penalties={name: PENALTIES[name]._replace(weight=weight) for name, weight in weights.items()},
    )
    step = steps.make_train_step(game, ema_half_life=20_000.0)
    places = jnp.asarray(centres, jnp.float32)

    def points(key: jax.Array) -> dict[str, jax.Array]:
        which, noise = jax.random.split(key)
        chosen = places[jax.random.randint(which, (1, BATCH), 0, len(places))]
        return {"image": chosen + deviation * jax.random.normal(noise, chosen.shape)}

    def one(seed: jax.Array) -> jax.Array:
        data_key, key, sample_key = jax.random.split(jax.random.key(seed), 3)

        def body(state: Any, i: jax.Array) -> tuple[Any, None]:
            state, _ = step(state, points(jax.random.fold_in(data_key, i)), key)
            return state, None

        state = steps.init_state(game, points(data_key), key)
        state, _ = jax.lax.scan(body, state, jnp.arange(count))
        latents = jax.random.normal(sample_key, (SAMPLES, LATENT_SIZE))
        return game.generator.apply(state.ema, latents, train=False)  # type: ignore[return-value]

    return np.asarray(jax.jit(jax.vmap(one))(jnp.arange(SEEDS)))


def judge(samples: np.ndarray, centres: np.ndarray, deviation: float) -> tuple[float, float]:
    """Modes covered and the share of good samples, of one seed's samples [N,2]."""
    distances = np.linalg.norm(samples[:, None] - centres, axis=-1)
    nearest, good = distances.argmin(axis=1), distances.min(axis=1) < 3 * deviation
    counts = np.bincount(nearest[good], minlength=len(centres))
    return float((counts > 0.1 * len(samples) / len(centres)).sum()), float(good.mean())


def main() -> None:
    """Prints the tables in Markdown, and how long each line took to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("toys", nargs="*", choices=[*TOYS, []], default=[*TOYS])
    options = parser.parse_args()
    print("# Toy distributions: modes covered, and share of good samples\n")
    print("Made by `benchmarks/toy_modes.py`, which says how they are counted.")
    print(f"Mean over {SEEDS} seeds, in brackets the least.")
    for toy in options.toys:
        title, make, steps = TOYS[toy]
        centres, deviation = make()
        print(f"\n## {title}, {steps:,} steps\n")
        for name, points in references(centres, deviation).items():
            modes, good = judge(points, centres, deviation)
            print(f"{name}: {modes:.0f} modes, {100 * good:.0f} % good.  ")
        print("\n| loss | " + " | ".join(PENALISED) + " |")
        print("| --- |" + " --- |" * len(PENALISED), flush=True)
        for loss in LOSSES:
            cells, began = [], time.monotonic()
            for weights in PENALISED.values():
                samples = train(loss, weights, centres, deviation, steps)
                modes, good = np.transpose([judge(each, centres, deviation) for each in samples])
                cells.append(f"{modes.mean():.1f} ({modes.min():.0f}), {100 * good.mean():.0f} %")
            print(f"| {loss} | " + " | ".join(cells) + " |", flush=True)
            print(f"{title}, {loss}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def references(centres: np.ndarray, deviation: float) -> dict[str, np.ndarray]:
    """Points of the distribution itself, and uniform ones."""
    random = np.random.default_rng(0)
    chosen = centres[random.integers(len(centres), size=SAMPLES)]
    return {
        "Real points": chosen + deviation * random.normal(size=chosen.shape),
        "Uniform points": random.uniform(-1.1, 1.1, size=chosen.shape),
    }


TOYS = {
    "ring": ("8 Gaussians on a ring", ring, 3000),
    "grid": ("25 Gaussians on a grid", grid, 10_000),
}


if __name__ == "__main__":
    main()
