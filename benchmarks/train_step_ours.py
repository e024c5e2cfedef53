"""Our side of `train_step.py`, which starts it: `python -m benchmarks.train_step_ours RECIPE`.

After its first step, and for each line N on stdin after N steps, a JSON object is written to stdout.
"""

import importlib
import json
import resource
import sys
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax

from jaxgan import losses, parallel, penalties, steps
from jaxgan.tasks import synthesis


def main(text: str) -> None:
    """Answers until stdin ends."""
    parallel.tune_xla()
    recipe = SimpleNamespace(**json.loads(text))
    game, batch, key = make_game(recipe), make_batch(recipe), jax.random.key(0)
    state = jax.jit(partial(steps.init_state, game))(batch, key)
    train_step = steps.make_train_step(game, fresh_fakes=not recipe.one_pass, ema_half_life=recipe.half_life)
    train_step = jax.jit(train_step, donate_argnums=0)

    def run(state: Any, count: int) -> Any:
        for _ in range(count):
            state, _ = train_step(state, batch, key)
        return jax.block_until_ready(state)

    state = run(state, 1)
    players = {"generator": state.generator, "discriminator": state.discriminator}
    _say(parameters={name: optax.tree.size(player.params) for name, player in players.items()})
    for line in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        state = run(state, int(line))
        _say(seconds=time.perf_counter() - start, busy=time.process_time() - busy)


def make_game(recipe: Any) -> steps.Game:
    """The static half of a recipe's training."""
    family = importlib.import_module(f"jaxgan.models.{recipe.network}")
    shape = (recipe.size, recipe.size, 3)
    b1, b2 = recipe.betas
    return steps.Game(
        task=synthesis.make_task(recipe.latent, styled=recipe.network == "stylegan2"),
        generator=family.Generator(shape, **_hashable(recipe.generator)),
        discriminator=family.Discriminator(shape, **_hashable(recipe.discriminator)),
        loss=losses.LOSSES[recipe.loss],
        optimizers={
            name: optax.adam(recipe.learning_rate, b1=b1, b2=b2) for name in ("generator", "discriminator")
        },
        penalties={
            name: penalties.PENALTIES[name]._replace(weight=weight)
            for name, weight in recipe.penalties.items()
        },
    )


def make_batch(recipe: Any) -> dict[str, jax.Array]:
    """A training step's batch of noise, on the device."""
    shape = (1, recipe.batch, recipe.size, recipe.size, 3)
    return jax.device_put({"image": np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)})


def _hashable(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples again."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _say(**said: Any) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(said | {"peak": peak}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
