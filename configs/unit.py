"""UNIT: horses and zebras by way of one latent space, half of the layers around it shared.

`python train.py --config=configs/unit.py --workdir=runs/unit`. Data are those of `configs/horse2zebra.py`.
Source: Liu, Breuel & Kautz 2017; loss, weights and rates as in docs/styles.md, rates falling to 0.

Not measured: of its 4,000 steps 286 were made on a CPU (what comes back is 0.29 from what was given), too few
to see anything; on digits see notebooks/styles.ipynb.
"""

from ml_collections import ConfigDict

from configs import horse2zebra


def get_config() -> ConfigDict:
    """The config, for 2 CPU cores."""
    config = horse2zebra.get_config()
    config.task.name, config.model.family = "shared_latent", "unit"
    config.model.generator.norm = config.model.discriminator.norm = "none"  # it has its own
    config.model.unit.blocks, config.model.unit.generator_shared = 2, 1
    config.model.unit.discriminator_halvings = 4
    config.model.unit.discriminator_shared = 2
    config.loss, config.adversarial, config.terms.identity = "non_saturating", 1.0, 0.0
    config.terms.reconstruction, config.terms.kl = 10.0, 0.01
    config.terms.cycle, config.terms.cycle_kl = 10.0, 0.01
    config.schedules = tuple(
        (*what, 1e-4, last, start, stop) for *what, _, last, start, stop in config.schedules
    )
    return config
