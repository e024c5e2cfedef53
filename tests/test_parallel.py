"""Devices and runners change nothing but rounding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgan import losses, parallel, penalties, steps
from jaxgan.data import transforms
from jaxgan.models import dcgan
from jaxgan.tasks import synthesis

SHAPE, BATCH, STEPS, UPDATES = (8, 8, 1), 8, 20, 2


def _game(axis_name):
    """BatchNorm in both players, noise, flips, labels, a relativistic loss, a penalty, SGD."""

    def transform(images, keys):
        return transforms.random_flip(images.astype(jnp.float64) / 127.5 - 1.0, keys)

    shared = dict(num_classes=3, width=4, smallest=2, dtype=jnp.float64, axis_name=axis_name)
    sgd = optax.sgd(0.05, momentum=0.5)
    return steps.Game(
        synthesis.make_task(5, conditional=True, transform=transform),
        dcgan.Generator(SHAPE, **shared),
        dcgan.Discriminator(SHAPE, norm="batch", **shared),
        losses.relativistic,
        {"generator": sgd, "discriminator": sgd},
        {"r1": penalties.PENALTIES["r1"]._replace(weight=0.1)},
        axis_name=axis_name,
    )


def _train(runner, devices, steps_per_call):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (STEPS, UPDATES, BATCH, *SHAPE), np.uint8)
    labels = random.integers(0, 3, (STEPS, UPDATES, BATCH), np.int32)
    alternation = (steps.Phase("discriminator", UPDATES), steps.Phase("generator"))
    game = _game(parallel.axis_name(runner))
    train_step = steps.make_train_step(game, alternation=alternation, ema_half_life=30.0)
    run = parallel.make_runner(train_step, runner=runner, devices=jax.devices()[:devices])
    key = jax.random.key(1)
    init = jax.jit(partial(steps.init_state, _game(None)), out_shardings=run.replicated)
    state = init({"image": images[0], "label": labels[0]}, key)
    state = jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, state)
    for start in range(0, STEPS, steps_per_call):
        chunk = {
            "image": images[start : start + steps_per_call],
            "label": labels[start : start + steps_per_call],
        }
        state, metrics = run.run(state, run.replicate({}), run.split(chunk), key)
    return jax.device_get(state), jax.device_get(metrics)
