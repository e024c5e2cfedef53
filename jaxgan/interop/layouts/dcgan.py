"""The names of PyTorch's DCGAN tutorial: 'main.0.weight' and so on, numbered through activations.

Its networks are 64x64; other sizes have as many stages as they need. Ours have biases that it has not: next
to the image, in the discriminator's convolutions and before its logit. They are zero where the file has none.
"""

from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import CONV, CONV_TRANSPOSED, grid_onto_point, point_onto, stored
from jaxgan.interop.tables import Table, batch_norm, layer, normalised
from jaxgan.models import dcgan, layers

SPECTRAL = ("weight_orig", "weight_u", "weight_v")  # of torch.nn.utils.spectral_norm


def table(network: dcgan.Generator | dcgan.Discriminator) -> Table:
    """The table of either player, without classes and heads.

    Raises:
      WeightsError: the network has what the layout has no names for.
    """
    if network.num_classes or getattr(network, "heads", None):
        raise WeightsError("The layout 'dcgan' has no names for classes and heads.")
    return generator(network) if isinstance(network, dcgan.Generator) else discriminator(network)


def generator(network: dcgan.Generator) -> Table:
    """ConvTranspose2d(Z, C, 4, 1, 0), BatchNorm2d, ReLU, and then the same with 4, 2, 1."""
    height, width, _ = network.image_shape
    count = layers.doublings(network.image_shape, network.smallest)
    grid = (height >> count, width >> count, dcgan.widths(network.width, count)[-1])
    entries = [*layer("Dense_0", "main.0", point_onto(grid), bias=None), *batch_norm("BatchNorm_0", "main.1")]
    for i in range(count - 1):
        entries += layer(f"stage_{i}.Conv_0", f"main.{3 * i + 3}", CONV_TRANSPOSED, bias=None)
        entries += batch_norm(f"stage_{i}.BatchNorm_0", f"main.{3 * i + 4}")
    return *entries, *layer("Conv_0", f"main.{3 * count}", CONV_TRANSPOSED, optional=True)


def discriminator(network: dcgan.Discriminator) -> Table:
    """Conv2d(C, O, 4, 2, 1), BatchNorm2d but in the first, LeakyReLU, and at last Conv2d(C, 1, 4, 1, 0)."""
    height, width, _ = network.image_shape
    count = layers.doublings(network.image_shape, network.smallest)
    features = dcgan.widths(network.width, count)
    batched = network.norm == "batch"
    entries: list = []
    for i in range(count):
        number = (3 * i - 1 if i else 0) if batched else 2 * i
        conv = layer(f"stage_{i}.Conv_0", f"main.{number}", CONV, optional=True)
        entries += _spectral(network, conv, f"stage_{i}.SpectralNorm_0")
        entries += batch_norm(f"stage_{i}.BatchNorm_0", f"main.{number + 1}") if batched and i else ()
    grid = (height >> count, width >> count, features[-1])
    number = 3 * count - 1 if batched else 2 * count
    last = layer("Dense_0", f"main.{number}", grid_onto_point(grid), optional=True)
    return *entries, *_spectral(network, last, "SpectralNorm_0")


def _spectral(network: dcgan.Discriminator, table: Table, around: str) -> Table:
    if network.norm != "spectral":
        return table
    return normalised(table, around, SPECTRAL, stored(table[0].rule), kept=1)
