"""Class-conditional 8x8 digits, DCGAN under the objective of R3GAN (relativistic, R1 and R2).

`python train.py --config=configs/digits.py --workdir=runs/digits`

2 CPU cores, seed 0: 49 s, 7,700 images/s. Of 1,000 samples, a classifier trained on real digits finds 99.8 %
to be of the class asked for. Not measured on a GPU.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The main job: real handwritten digits that come with scikit-learn, no download."""
    config = base.get_config()
    config.model.conditional = True
    config.model.smallest = 2
    config.model.latent_size = 64
    config.loss = "relativistic"
    config.penalties.r1 = config.penalties.r2 = 0.01
    config.optimizer.generator.learning_rate = config.optimizer.discriminator.learning_rate = 5e-4
    config.steps = 5000
    return config
