"""CycleGAN on horses and zebras at 64x64.

`python train.py --config=configs/horse2zebra.py --workdir=runs/horse2zebra`

Not measured yet. For a GPU, as in the paper: data.size=(286,286), data.random_crop=(256,256), widths of 64,
model.cycle.blocks=9, model.cycle.discriminator_halvings=3, batch_size=1.
"""

from ml_collections import ConfigDict

from configs import base

FILES = "horse2zebra_128.tar"


def get_config() -> ConfigDict:
    """400 horses and 400 zebras; sizes are for 2 CPU cores."""
    config = base.get_config()
    config.data.source = f"unpaired:folder:{FILES}/trainA,folder:{FILES}/trainB"
    config.data.size = (72, 72)
    config.data.random_crop = (64, 64)
    config.data.flip = True
    config.task.name = "cycle"
    config.model.family = "cycle"
    config.model.generator.width = config.model.discriminator.width = 24
    config.model.generator.norm = config.model.discriminator.norm = "instance"
    config.model.cycle.blocks = 3
    config.model.cycle.discriminator_halvings = 2  # patches of 34 pixels
    config.loss = "least_squares"
    config.terms.cycle = 10.0
    config.terms.identity = 5.0
    config.alternation.fresh_fakes = False
    config.batch_size = 4
    config.steps = 4000
    config.ema.half_life = 1000.0
    config.checkpoint.best_metric = "distance/returned"
    return config
