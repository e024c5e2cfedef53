"""The names of torch_mimicry's SNGAN: 'block2.c1.weight', 'l5.sn_u', without classes.

Its own generator enlarges grids bilinearly, and ours repeats pixels, as the paper's does: weights that were
trained with the first come in, and make somewhat other images.
"""

from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import CONV, DENSE, bias_onto, dense_onto, refined
from jaxgan.interop.tables import Table, batch_norm, layer, normalised
from jaxgan.models import layers, resnet

SPECTRAL = ("weight", "sn_u", "sn_sigma")


def table(network: resnet.Generator | resnet.Discriminator) -> Table:
    """The table of either player: a generator without spectral normalisation, a discriminator with.

    Raises:
      WeightsError: the network has what the layout has no names for.
    """
    made = isinstance(network, resnet.Generator)
    if network.num_classes or network.attention or getattr(network, "heads", None):
        raise WeightsError("The layout 'sngan' has no names for classes, attention and heads.")
    if network.norm != ("none" if made else "spectral") or getattr(network, "hierarchical", False):
        raise WeightsError("The layout 'sngan' has norm 'none' in G, 'spectral' in D, and plain latents.")
    return generator(network) if isinstance(network, resnet.Generator) else discriminator(network)


def generator(network: resnet.Generator) -> Table:
    """l1; block2, block3, ... with b1, c1, b2, c2 and c_sc; b5, c5."""
    height, width, _ = network.image_shape
    count = layers.doublings(network.image_shape, network.smallest)
    grid = (height >> count, width >> count, resnet.widths(network.width, count, network.multiples)[-1])
    entries = [*layer("Dense_0", "l1", dense_onto(grid), bias=bias_onto(grid))]
    for i in range(count):
        for number in (0, 1):
            path = f"block_{i}.ConditionalBatchNorm_{number}.BatchNorm_0"
            entries += batch_norm(path, f"block{i + 2}.b{number + 1}")
        for number, name in enumerate(("c1", "c2", "c_sc")):
            entries += layer(f"block_{i}.Conv_{number}", f"block{i + 2}.{name}", CONV)
    entries += batch_norm("ConditionalBatchNorm_0.BatchNorm_0", f"b{count + 2}")
    return *entries, *layer("Conv_0", f"c{count + 2}", CONV)


def discriminator(network: resnet.Discriminator) -> Table:
    """block1, block2, ... with c1, c2 and, where the grid is halved, c_sc; l5."""
    halved = network.halvings or layers.doublings(network.image_shape, network.smallest)
    blocks = halved + network.plain
    entries: list = []
    for i in range(blocks):
        names = ("c1", "c2", "c_sc")[: 3 if i < halved else 2]
        for number, name in enumerate(names):
            conv = layer(f"block_{i}.Conv_{number}", f"block{i + 1}.{name}", CONV)
            entries += normalised(conv, f"block_{i}.SpectralNorm_{number}", SPECTRAL, refined(CONV))
    last = layer("Dense_0", f"l{blocks + 1}", DENSE)
    return *entries, *normalised(last, "SpectralNorm_0", SPECTRAL, refined(DENSE))
