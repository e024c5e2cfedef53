"""pix2pix on CMP facades at 64x64: photographs of label maps.

`python train.py --config=configs/facades.py --workdir=runs/facades`

Two cores of a shared CPU machine with other work on it: 19 minutes. The 106 test pairs at 64x64, L1 of values
in [-1, 1] and LPIPS (`benchmarks/facades.py`): 0.353, 0.292; after 1500 steps 0.339, 0.298. Each label's mean
colour: 0.354, 0.455; the mean photograph: 0.333, 0.749. A label map hardly tells a photograph's colours, and
so not much of L1.
"""

from ml_collections import ConfigDict

from configs import base

STEPS, BATCH = 3500, 8


def get_config() -> ConfigDict:
    """400 pairs in one picture each, the label map on the right; sizes are for 2 CPU cores.

    Rates fall to 0 in the second half, as in the authors' programs.
    """
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
    config.model.unet.depth = 4  # to 4x4 pixels, so that whole images of 72 are as good as parts
    config.model.unet.discriminator_halvings = 2  # patches of 34 pixels
    config.terms.pixel = 100.0
    config.alternation.fresh_fakes = False
    config.batch_size, config.steps = BATCH, STEPS
    end = STEPS * BATCH / 1000
    config.schedules = tuple(
        (f"optimizer.{player}.learning_rate", "linear", 2e-4, 0.0, end / 2, end)
        for player in config.optimizer
    )
    config.ema.half_life = 1000.0
    config.checkpoint.keep = 10
    return config
