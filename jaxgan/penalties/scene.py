"""Penalties as a training step takes them: of a scene, with a weight, in one player's loss; by name."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax

from jaxgan.penalties.functions import (
    Critic,
    LogitAverages,
    approximate_r1,
    consistency,
    diversity,
    gradient_penalty,
    interpolate,
    lecam,
    orthogonal_kernels,
    path_length,
    perturb,
    r1,
    r2,
    update_averages,
    update_length,
)


class Scene(NamedTuple):
    """What a player's update has at hand, example by example.

    Attributes:
      critic: images -> logits, as the discriminator sees and judges them: augmented, under their labels.
      generate: given -> images.
      given: what the generator was given; a NamedTuple with `latents` where a penalty moves these.
      code: given -> (the generator's codes of it, and a function from codes to what it is given): the
        latents, or what a mapping network makes of them.
      real: [B,...].
      fake: [B,...].
      real_logits: [B] or [B,h,w].
      fake_logits: the same shape.
      params: of the player.
      keys: [B], PRNG keys.
    """

    critic: Critic
    generate: Callable[[Any], jax.Array]
    given: Any
    code: Callable[[Any], tuple[jax.Array, Callable[[jax.Array], Any]]]
    real: jax.Array
    fake: jax.Array
    real_logits: jax.Array
    fake_logits: jax.Array
    params: Any
    keys: jax.Array


class Penalty(NamedTuple):
    """A penalty in a player's loss: `weight * mean(values)`.

    Attributes:
      function: (scene, memory) -> (values [B] or [], memory), unweighted.
      player: whose loss it is in.
      weight: the papers' gamma or lambda, >= 0; or a schedule, images shown [] -> weight [].
      every: training steps from one time to the next that it is taken, then as many times as heavily.
        Source: Karras et al. 2020 (StyleGAN2), appendix B, lazy regularisation.
      memory: what `function` is given the first time, a pytree of numbers; averaged over devices.
      by_example: it needs the gradient, or the logit, of each example by itself, which a player that mixes
        examples does not have.
    """

    function: Callable[[Scene, Any], tuple[jax.Array, Any]]
    player: Literal["generator", "discriminator"] = "discriminator"
    weight: float | Callable[[jax.Array], jax.Array] = 1.0
    every: int = 1
    memory: Any = ()
    by_example: bool = False


def _forgetful(function: Callable[[Scene], jax.Array]) -> Callable[[Scene, Any], tuple[jax.Array, Any]]:
    return lambda scene, memory: (function(scene), memory)


def _lecam(scene: Scene, averages: LogitAverages) -> tuple[jax.Array, LogitAverages]:
    logits = scene.real_logits, scene.fake_logits
    return lecam(*logits, averages), update_averages(averages, *logits)


def _path_length(scene: Scene, average: jax.Array) -> tuple[jax.Array, jax.Array]:
    codes, given_of = scene.code(scene.given)
    penalties, lengths = path_length(lambda c: scene.generate(given_of(c)), codes, scene.keys, average)
    return penalties, update_length(average, lengths)


def make_consistency(change: Callable[[jax.Array, jax.Array], jax.Array], *, balanced: bool) -> Penalty:
    """CR, or where balanced bCR, as a penalty.

    Args:
      change: (images [B,...], keys [B]) -> images that D should judge alike, such as shifted ones.
      balanced: on fakes too.
    """

    def function(scene: Scene) -> jax.Array:
        values = consistency(scene.critic(scene.real), scene.critic(change(scene.real, scene.keys)))
        if balanced:
            values += consistency(scene.critic(scene.fake), scene.critic(change(scene.fake, scene.keys)))
        return values

    return Penalty(_forgetful(function))


def _nearby(scene: Scene, scale: float = 0.05) -> jax.Array:
    """Fakes of latents moved by noise N(0, scale^2): Zhao et al. 2021, section 4.1, 0.03 to 0.07."""
    latents = perturb(scene.given.latents, scene.keys, scale=scale)
    return scene.generate(scene.given._replace(latents=latents))


def _slope(function: Callable[[Scene], jax.Array]) -> Penalty:
    return Penalty(_forgetful(function), by_example=True)


PENALTIES: Mapping[str, Penalty] = {
    "r1": _slope(lambda scene: r1(scene.critic, scene.real)),
    "r2": _slope(lambda scene: r2(scene.critic, scene.fake)),
    "approximate_r1": _slope(lambda scene: approximate_r1(scene.critic, scene.real, scene.keys)),
    "approximate_r2": _slope(lambda scene: approximate_r1(scene.critic, scene.fake, scene.keys)),
    "wgan_gp": _slope(
        lambda scene: gradient_penalty(scene.critic, interpolate(scene.real, scene.fake, scene.keys))
    ),
    "dragan": _slope(lambda scene: gradient_penalty(scene.critic, perturb(scene.real, scene.keys))),
    "lecam": Penalty(_lecam, memory=LogitAverages(0.0, 0.0)),
    "latent_consistency": Penalty(
        _forgetful(lambda scene: consistency(scene.critic(scene.fake), scene.critic(_nearby(scene))))
    ),
    "diversity": Penalty(_forgetful(lambda scene: diversity(scene.fake, _nearby(scene))), "generator"),
    "path_length": Penalty(_path_length, "generator", memory=0.0, by_example=True),
    "orthogonal_generator": Penalty(_forgetful(lambda scene: orthogonal_kernels(scene.params)), "generator"),
    "orthogonal_discriminator": Penalty(_forgetful(lambda scene: orthogonal_kernels(scene.params))),
}
