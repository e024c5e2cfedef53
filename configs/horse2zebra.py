"""CycleGAN on horses and zebras: `cpu`, at 64x64, or `gpu`, the paper's networks at 256x256.

`python train.py --config=configs/horse2zebra.py --workdir=runs/horse2zebra` takes the first of these; the
other is named behind a colon, `--config=configs/horse2zebra.py:gpu`, and wants folders horse2zebra/trainA and
horse2zebra/trainB. Source: Zhu et al. 2017, section 4 and appendix 7.1.

The first 1,751 of `cpu`'s 4,000 steps (1,409 of them with `adversarial` 1), two cores of a shared CPU machine
with other work on it, one hour: what comes back is 0.159 from what was given (L1 of values in [-1, 1]), after
250 steps 0.317. FID-768 of the 120 test horses as zebras against the 140 test zebras 1.47, of the horses as
they are 1.08, of 400 other zebras 0.42: coats change, and artefacts still weigh more. `gpu` was not run.
"""

from ml_collections import ConfigDict

from configs import base

# Images' folder, size, crop; width of G, of D, residual blocks, halvings by D; batch, steps, half-life.
PRESETS = {
    "cpu": ("horse2zebra_128.tar", 72, 64, 24, 24, 3, 2, 4, 4000, 1000.0),
    "gpu": ("horse2zebra", 286, 256, 64, 64, 9, 3, 1, 240_000, 10_000.0),
}


def get_config(preset: str = "cpu") -> ConfigDict:
    """Of horses zebras and of zebras horses; rates fall to 0 in the second half."""
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}; expected one of {', '.join(PRESETS)}.")
    files, size, crop, width, judges, blocks, halvings, batch, steps, half_life = PRESETS[preset]
    config = base.get_config()
    config.data.source = f"unpaired:folder:{files}/trainA,folder:{files}/trainB"
    config.data.size, config.data.random_crop = (size, size), (crop, crop)
    config.data.flip = True
    config.task.name = config.model.family = "cycle"
    config.model.generator.width, config.model.discriminator.width = width, judges
    config.model.generator.norm = config.model.discriminator.norm = "instance"
    config.model.cycle.blocks, config.model.cycle.discriminator_halvings = blocks, halvings
    config.loss, config.adversarial = "least_squares", 2.0  # which has halves; the paper's G has none
    config.terms.cycle, config.terms.identity = 10.0, 5.0
    config.alternation.fresh_fakes = False
    config.batch_size, config.steps = batch, steps
    half, end = steps * batch / 2000, steps * batch / 1000
    config.schedules = tuple(
        (f"optimizer.{player}.learning_rate", "linear", 2e-4, 0.0, half, end) for player in config.optimizer
    )
    config.ema.half_life = half_life
    return config
