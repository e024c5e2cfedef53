"""Class-conditional CIFAR-10 at 32x32, DCGAN under the objective of R3GAN.

`python train.py --config=configs/cifar10.py --workdir=runs/cifar10`

Not measured yet.
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """32x32 RGB images of 10 classes, flipped at random; tfds:cifar10 has to be prepared once."""
    config = mnist.get_config()
    config.data.source = "tfds:cifar10"
    config.data.flip = True
    config.model.generator.width = config.model.discriminator.width = 128
    config.optimizer.generator.learning_rate = config.optimizer.discriminator.learning_rate = 2e-4
    config.steps = 100_000
    config.parallel.steps_per_call = 10
    config.log.every = 500
    config.sample.every = config.checkpoint.every = 5000
    return config
