"""ESRGAN, for a GPU: images of four times the size by RRDB, by pixels alone at first, then against a judge.

`python train.py --config=configs/esrgan.py:WEIGHTS --workdir=runs/esrgan --config.data.source=folder:DIV2K`
WEIGHTS is a file of LPIPS's, which stands for the paper's features of VGG19. Source: Wang et al. 2018,
section 4.1. Departures: fewer steps in the first phase, rates that fall along a cosine and not by halves.

Not measured: this network wants a GPU. `configs/super_resolution.py` is for a CPU.
"""

from ml_collections import ConfigDict

from configs import super_resolution

PIXELS, STEPS, BATCH = 500_000, 900_000, 16


def get_config(perceptual: str = "") -> ConfigDict:
    """The config, with a file of LPIPS's weights or without."""
    config = super_resolution.get_config(perceptual)
    config.batch_size, config.steps, config.pretrain.steps = BATCH, STEPS, PIXELS
    config.data.size, config.data.random_crop = (192, 192), (128, 128)
    config.model.family = "rrdb"
    config.model.generator.width = config.model.discriminator.width = 64
    config.model.discriminator.norm = "batch"
    config.loss = "relativistic_average"
    config.adversarial, config.terms.pixel = 5e-3, 1e-2
    end, last = PIXELS * BATCH / 1000, STEPS * BATCH / 1000
    config.schedules = (
        ("optimizer.generator.learning_rate", "cosine", 2e-4, 1e-6, 0.0, end),
        ("optimizer.generator.learning_rate", "cosine", 1e-4, 1e-6, end, last),
        ("optimizer.discriminator.learning_rate", "cosine", 1e-4, 1e-6, end, last),
    )
    config.sample.every = config.checkpoint.every = 5000
    return config
