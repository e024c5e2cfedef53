"""Class-conditional MNIST at 28x28, DCGAN under the objective of R3GAN.

`python train.py --config=configs/mnist.py --workdir=runs/mnist`

Not measured yet.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    """28x28 grey images of 10 digits; tfds:mnist has to be prepared once, which needs TensorFlow."""
    config = base.get_config()
    config.data.source = "tfds:mnist"
    config.model.conditional = True
    config.loss = "relativistic"
    config.penalties.r1 = config.penalties.r2 = 0.1
    config.optimizer.generator.learning_rate = config.optimizer.discriminator.learning_rate = 5e-4
    config.steps = 20_000
    config.sample.every = config.checkpoint.every = 1000
    return config
