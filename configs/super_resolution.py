"""Images of four times the size: a small SRResNet, by pixels alone at first, then against a discriminator.

`python train.py --config=configs/super_resolution.py:WEIGHTS --workdir=runs/super_resolution \
    --config.data.source=folder:IMAGES`

WEIGHTS is a file of LPIPS's, which the second phase then learns by too; without it (and the colon) it matches
the discriminator's features. Images of any sizes are cut into tiles.

T91's 91 images, LPIPS's weights, two cores of a shared CPU machine: 6 minutes for the first phase, 10 for the
second. Set5 and Set14, luma's PSNR and LPIPS, bicubic 28.42 dB, 0.341 and 25.99 dB, 0.440: after the first
phase 30.99 dB, 0.180 and 27.72 dB, 0.296; after the second 29.42 dB, 0.098 and 26.64 dB, 0.174.
"""

from ml_collections import ConfigDict

from configs import base

PIXELS, STEPS, BATCH = 9000, 11_000, 16


def get_config(perceptual: str = "") -> ConfigDict:
    """The config, with a file of LPIPS's weights or without."""
    config = base.get_config()
    config.batch_size, config.steps = BATCH, STEPS
    config.data.source, config.data.fit, config.data.size = "folder:images", "tiles", (104, 104)
    config.data.channels, config.data.random_crop, config.data.flip = 3, (96, 96), True
    config.task.name, config.task.perceptual = "super_resolution", perceptual
    config.model.family = "srresnet"
    config.model.generator.width, config.model.srresnet.blocks, config.model.srresnet.ends = 32, 8, 3
    config.model.srresnet.tail, config.model.srresnet.skip = "direct", True
    config.model.discriminator.width, config.model.srresnet.hidden = 16, 128
    config.model.discriminator.norm = "spectral"
    config.pretrain.steps, config.pretrain.term = PIXELS, "pixel"
    config.loss, config.adversarial, config.terms.pixel = "relativistic", 0.005, 1.0
    if perceptual:
        config.terms.perceptual = 1.0
    else:
        config.terms.feature_matching = 0.1
    config.optimizer.generator.b1 = config.optimizer.discriminator.b1 = 0.9
    config.optimizer.discriminator.learning_rate = 1e-4
    end = PIXELS * BATCH / 1000
    config.schedules = (
        ("optimizer.generator.learning_rate", "cosine", 1e-3, 2e-5, 0.0, end),
        ("optimizer.generator.learning_rate", "constant", 1e-4, 1e-4, end, 2 * end),
    )
    config.ema.half_life = 4000.0
    config.log.every, config.sample.every, config.checkpoint.every = 100, 1000, 1000
    config.checkpoint.best_metric = ""
    return config
