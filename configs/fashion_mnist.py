"""Class-conditional Fashion-MNIST at 28x28, as configs/mnist.py.

`python train.py --config=configs/fashion_mnist.py --workdir=runs/fashion_mnist`
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    """28x28 grey images of 10 kinds of clothes; tfds:fashion_mnist has to be prepared once."""
    config = mnist.get_config()
    config.data.source = "tfds:fashion_mnist"
    return config
