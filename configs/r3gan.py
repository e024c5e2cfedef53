"""R3GAN and its recipe: relativistic pairs, R1 and R2, no further tricks; a preset for each data set.

`python train.py --config=configs/r3gan.py --workdir=runs/r3gan` trains on CIFAR-10; another preset is named
behind a colon, `--config=configs/r3gan.py:ffhq64`: cifar10, ffhq64, ffhq256, imagenet32 or imagenet64.
Source: Huang et al. 2024. The networks have the numbers of parameters that the paper prints for the first
three; the objective's numbers, and the number of steps, were not held against its tables.

Not measured: these networks want GPUs. At a sixteenth of the width see docs/families.md.
"""

from ml_collections import ConfigDict

from configs import base

# Image source, size, classes told; width, multiples, group_size; batch; gamma, at first; p of augmentation,
# at last; half-life of the average, at last, in images; thousands of images until all is as at last.
PRESETS = {
    "cifar10": ("tfds:cifar10", 32, True, 768, (), 16, 512, 0.05, 0.55, 5e6, 20_000),
    "ffhq64": ("folder:ffhq", 64, False, 384, (1, 2, 2, 2, 2), 16, 256, 2.0, 0.3, 5e5, 20_000),
    "ffhq256": ("folder:ffhq", 256, False, 96, (1, 2, 4, 8, 8, 8, 8), 16, 256, 150.0, 0.3, 5e5, 10_000),
    "imagenet32": ("tfds:imagenet_resized/32x32", 32, True, 1536, (), 32, 4096, 0.5, 0.5, 5e7, 400_000),
    "imagenet64": ("tfds:imagenet_resized/64x64", 64, True, 1536, (), 32, 4096, 1.0, 0.4, 5e7, 200_000),
}


def get_config(preset: str = "cifar10") -> ConfigDict:
    """The config of a preset; it falls or rises along a cosine for the first half of the run."""
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}; expected one of {', '.join(PRESETS)}.")
    source, size, told, width, multiples, group_size, batch, gamma, p, half_life, kimg = PRESETS[preset]
    config = base.get_config()
    config.batch_size, config.steps = batch, 2 * kimg * 1000 // batch
    config.data.source, config.data.size, config.data.flip = source, (size, size), True
    config.model.family, config.model.latent_size, config.model.conditional = "r3gan", 64, told
    config.model.generator.width = config.model.discriminator.width = width
    config.model.r3gan.multiples, config.model.r3gan.group_size = multiples, group_size
    config.loss = "relativistic"
    config.augment.policy = "ada"
    players = ("generator", "discriminator")
    for player in players:
        config.optimizer[player].b1 = 0.0
    config.schedules = (
        *((f"penalties.{name}", "cosine", gamma, gamma / 10, 0, kimg) for name in ("r1", "r2")),
        *((f"optimizer.{player}.learning_rate", "cosine", 2e-4, 5e-5, 0, kimg) for player in players),
        *((f"optimizer.{player}.b2", "cosine", 0.9, 0.99, 0, kimg) for player in players),
        ("augment.p", "cosine", 0.0, p, 0, kimg),
        ("ema.half_life", "cosine", 0.0, half_life, 0, kimg),
    )
    config.log.every = 100
    config.sample.every = config.checkpoint.every = 5000
    return config
