"""Class-conditional 8x8 digits, DCGAN with R1.

`python train.py --config=configs/digits.py --workdir=runs/digits`
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """The main job: real handwritten digits that come with scikit-learn, no download."""
    config = base.get_config()
    config.model.conditional = True
    config.model.smallest = 2
    config.model.latent_size = 64
    config.penalties.r1 = 0.1
    config.steps = 5000
    return config
