"""CoGAN: images of two domains from one latent, by networks that share their inner layers.

`python train.py --config=configs/cogan.py --workdir=runs/cogan` takes a folder a domain, of which no two
images have to belong together. `benchmarks/coupled_digits.py` trains it on MNIST's digits and, of other
digits, negatives or edges. Source: Liu & Tuzel 2016, section 5, tasks A (edges) and B (negatives).

MNIST's digits and negatives, 18,000 steps, two cores of a shared CPU machine with other work on it, 81
minutes in two parts (rates of the first 9,000 fell to 0 by their end): 87.3 % of 10,000 pairs show the same
digit by a classifier that is right on 99.3 % of real ones; of first images and their exact negatives 88.1 %.
5,000 steps (rates falling to 0 by then), 29 minutes: 85.0 % and 85.1 %; 96.8 % where negatives are turned
back before they are read. See docs/styles.md.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """A small coupled DCGAN: of three stages two are shared, and those next to the images are private."""
    config = base.get_config()
    config.data.source, config.data.labels = "mixture:folder:digits,folder:negatives", "domains"
    config.data.size = (28, 28)
    config.model.family, config.model.conditional = "coupled", True
    config.model.latent_size = 100
    config.model.smallest = 7
    config.model.generator.width = config.model.discriminator.width = 32
    config.model.coupled.generator_shared = config.model.coupled.discriminator_shared = 2
    config.loss = "relativistic"
    config.penalties.r1 = config.penalties.r2 = 0.1
    config.steps, config.batch_size = 18_000, 64
    config.schedules = tuple(
        (f"optimizer.{player}.learning_rate", "cosine", 5e-4, 0.0, 0, 1152) for player in config.optimizer
    )
    config.log.every, config.sample.every, config.checkpoint.every = 100, 2000, 2000
    return config
