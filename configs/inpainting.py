"""Holes filled: gated convolutions against SN-PatchGAN, in images of 32x32 or so.

`python train.py --config=configs/inpainting.py --workdir=runs/inpainting`

24,000 images of CIFAR-10, two cores of a shared CPU machine: 15 minutes. Of 500 others, holes of 25 to 50 %
half free-form and half rectangles, PSNR and L1 in the hole and LPIPS (`benchmarks/restoration.py`): 18.12 dB,
24.4, 0.143; OpenCV's Telea 17.00 dB, 28.0, 0.155, its Navier-Stokes 17.07 dB, 27.5, 0.152.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """Free-form and rectangular holes of 25 to 50 %; tfds:cifar10 has to be prepared once."""
    config = base.get_config()
    config.data.source, config.data.flip = "tfds:cifar10", True
    config.task.name = "restoration"
    config.task.masks, config.task.area = ("free_form", "rectangles"), (0.25, 0.5)
    config.model.family = "repair"
    config.model.generator.width, config.model.generator.norm = 16, "none"
    config.model.discriminator.width, config.model.discriminator.norm = 16, "spectral"
    config.model.repair.stages = 4
    config.loss, config.terms.pixel, config.adversarial = "hinge", 1.0, 0.002
    config.batch_size, config.steps = 32, 6000
    config.pretrain.steps, config.pretrain.term = 3000, "pixel"
    config.optimizer.discriminator.learning_rate = 4e-4
    config.alternation.fresh_fakes = False
    config.ema.half_life = 4000.0
    config.schedules = (("optimizer.generator.learning_rate", "cosine", 1e-3, 5e-5, 0.0, 192.0),)
    config.checkpoint.every = config.sample.every = 1000
    config.checkpoint.best_metric = ""
    config.log.every = 100
    return config
