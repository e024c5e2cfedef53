"""Images without their noise, or their blur: the task and the networks that fill holes, in 64x64.

`python train.py --config=configs/denoising.py --workdir=runs/denoising --config.data.source=folder:IMAGES`
takes noise away; for images that are out of focus name `configs/denoising.py:blur`. Images of any sizes are
cut into tiles, of which the last tenth is kept for measuring.

T91's 91 images, `noise`, the 1,600 steps by pixels alone, 8 minutes on two cores of a shared CPU machine with
other work on it: the kept tiles have 20.5 dB with their noise, 29.3 dB without it (the generator of the last
step; its average had a half-life of 4000 images then, and lagged behind). `blur` was not run, nor were the
steps against the discriminator.
"""

from ml_collections import ConfigDict

from configs import inpainting

# What is done to images: noise of a standard deviation in grey levels, blur of one in pixels.
PRESETS = {"noise": (("noise", 25.0, 25.0),), "blur": (("blur", 0.5, 2.0),)}
PIXELS, STEPS, BATCH = 1600, 2000, 8


def get_config(preset: str = "noise") -> ConfigDict:
    """By pixels alone at first, then against a discriminator; sizes are for 2 CPU cores."""
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}; expected one of {', '.join(PRESETS)}.")
    config = inpainting.get_config()
    config.data.source, config.data.fit, config.data.size = "folder:images", "tiles", (72, 72)
    config.data.channels, config.data.random_crop = 3, (64, 64)
    config.data.split, config.evaluate.split = "train[:90%]", "train[90%:]"
    config.task.degradations = PRESETS[preset]
    config.model.repair.halvings = 1  # fine structures are not to be lost
    config.batch_size, config.steps, config.pretrain.steps = BATCH, STEPS, PIXELS
    kimg = STEPS * BATCH / 1000
    config.schedules = (("optimizer.generator.learning_rate", "cosine", 1e-3, 2e-5, 0.0, kimg),)
    config.ema.half_life = 1000.0
    config.checkpoint.every = config.sample.every = 400
    return config
