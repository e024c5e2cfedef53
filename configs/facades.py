"""pix2pix on CMP facades at 64x64: photographs of label maps.

`python train.py --config=configs/facades.py --workdir=runs/facades`

Not measured yet.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """400 pairs in one picture each, the label map on the right; sizes are for 2 CPU cores."""
    config = base.get_config()
    config.data.source = "sides:facades_128.tar"
    config.data.input_half = "right"
    config.data.size = (72, 72)
    config.data.random_crop = (64, 64)
    config.data.flip = True
    config.evaluate.split = "test"
    config.task.name = "paired"
    config.model.family = "unet"
    config.model.generator.width = config.model.discriminator.width = 32
    config.model.generator.norm = config.model.discriminator.norm = "instance"
    config.model.unet.discriminator_halvings = 2  # patches of 34 pixels
    config.terms.pixel = 100.0
    config.alternation.fresh_fakes = False
    config.batch_size = 8
    config.steps = 10_000
    config.ema.half_life = 1000.0
    config.checkpoint.best_metric = "distance/l1"
    return config
