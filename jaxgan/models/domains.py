"""What a network has for each of several domains, and how an example is given that of its own.

Source: Choi et al. 2020 (StarGAN v2), section 2.1, and the appendix: table 5, and the details of training.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn


def check(labels: jax.Array, domains: int) -> None:
    """Raises a ValueError unless labels are domains, [B] int, of which there are 2 or more."""
    if domains < 2:
        raise ValueError(f"num_classes is {domains}; a translator between domains needs 2 or more.")
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"Labels are {labels.dtype} of shape {labels.shape}, expected [B] integers: the domain of each."
        )


def own(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Each example's output for its own domain: [B,n,...], labels [B] -> [B,...]."""
    return jax.vmap(lambda every, label: every[label])(outputs, labels)


class Slow(nn.Module):
    """A dense layer, of which each of n domains has its own: [B,n,I] -> [B,n,features].

    Parameters are kept divided by the rate, so that Adam moves them at `rate` times its learning rate.

    Attributes:
      features: O.
      domains: n; 1 is one for all.
      rate: multiplies the learning rate.
    """

    features: int
    domains: int
    rate: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.domains, x.shape[-1], self.features)
        initial = nn.initializers.variance_scaling(2.0 / self.rate**2, "fan_in", "normal", batch_axis=0)
        kernel = self.rate * self.param("kernel", initial, shape)
        bias = self.rate * self.param("bias", nn.initializers.zeros, (self.domains, self.features))
        return jnp.einsum("bni,nio->bno", x, kernel) + bias


class Mapping(nn.Module):
    """Latents [B,Z] to a style for each domain, [B,domains,size]. Source: table 5.

    Attributes:
      domains: n.
      size: of a style.
      units: of hidden layers.
      rate: multiplies their learning rate.
    """

    domains: int
    size: int
    units: int
    rate: float

    @nn.compact
    def __call__(self, latents: jax.Array) -> jax.Array:
        x = latents[:, None]
        for i in range(4):
            x = nn.relu(Slow(self.units, 1, self.rate, name=f"shared_{i}")(x))
        x = jnp.broadcast_to(x, (len(x), self.domains, self.units))
        for i in range(3):
            x = nn.relu(Slow(self.units, self.domains, self.rate, name=f"private_{i}")(x))
        return Slow(self.size, self.domains, self.rate, name="styles")(x)
