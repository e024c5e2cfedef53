"""The names of the BigGAN authors' PyTorch code: 'blocks.0.0.conv1.weight', 'shared.weight', 'linear.u0'.

From what is publicly known of the layout, and not checked on one of its files.
"""

from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import (
    CONV,
    DENSE,
    EMBEDDING,
    SAME,
    bias_onto,
    dense_onto,
    refined,
    rolled,
)
from jaxgan.interop.tables import Entry, Table, layer, normalised
from jaxgan.models import layers, resnet

SPECTRAL = ("weight", "u0", "sv0")
ATTENTION = ("theta", "phi", "g", "o")


def table(network: resnet.Generator | resnet.Discriminator) -> Table:
    """The table of either player, with spectral normalisation, classes by a shared embedding.

    Raises:
      WeightsError: the network has what the layout has no names for.
    """
    if network.norm != "spectral" or not network.num_classes or getattr(network, "heads", None):
        raise WeightsError("The layout 'biggan' has norm 'spectral', classes, and no further heads.")
    if isinstance(network, resnet.Discriminator):
        return discriminator(network)
    if not network.embedding:
        raise WeightsError("The layout 'biggan' has an embedding that all normalisations share.")
    return generator(network)


def generator(network: resnet.Generator) -> Table:
    """shared, linear; blocks.i.0 with bn1, conv1, bn2, conv2, conv_sc; blocks.i.1 attention; output_layer."""
    height, width, _ = network.image_shape
    count = layers.doublings(network.image_shape, network.smallest)
    grid = (height >> count, width >> count, resnet.widths(network.width, count, network.multiples)[-1])
    entries = [Entry(("params.embedding.kernel",), ("shared.weight",))]
    entries += _sn(layer("Dense_0", "linear", dense_onto(grid), bias=bias_onto(grid)), "SpectralNorm_0")
    told = rolled(DENSE, network.embedding)  # theirs see the class first, ours the latents
    for i in range(count):
        for number in (0, 1):
            path, name = f"block_{i}.ConditionalBatchNorm_{number}", f"blocks.{i}.0.bn{number + 1}"
            entries += _statistics(f"{path}.BatchNorm_0", name)
            for order, leaf in enumerate(("gain", "bias")):
                dense = layer(f"{path}.{leaf}", f"{name}.{leaf}", told, bias=None)
                entries += _sn(dense, f"{path}.SpectralNorm_{order}")
        entries += _convolutions(i, ("conv1", "conv2", "conv_sc"))
    grids = [height >> (count - i - 1) for i in range(count)]
    entries += _attention(grids, network.attention)
    path = "ConditionalBatchNorm_0.BatchNorm_0"
    entries += _statistics(path, "output_layer.0")
    entries += [Entry((f"params.{path}.{mine}",), (f"output_layer.0.{other}",))
                for mine, other in (("scale", "gain"), ("bias", "bias"))]  # fmt: skip
    return *entries, *_sn(layer("Conv_0", "output_layer.2", CONV), "SpectralNorm_1")


def discriminator(network: resnet.Discriminator) -> Table:
    """blocks.i.0 with conv1, conv2 and, where the grid is halved, conv_sc; linear, embed."""
    height = network.image_shape[0]
    halved = network.halvings or layers.doublings(network.image_shape, network.smallest)
    blocks = halved + network.plain
    entries: list[Entry] = []
    for i in range(blocks):
        entries += _convolutions(i, ("conv1", "conv2", "conv_sc")[: 3 if i < halved else 2])
    entries += _attention([height >> min(i + 1, halved) for i in range(blocks)], network.attention)
    entries += _sn(layer("Dense_0", "linear", DENSE), "SpectralNorm_0")
    embed = layer("Dense_1", "embed", DENSE, bias=None)
    return *entries, *normalised(embed, "SpectralNorm_1", ("weight", "sv0", "u0"), EMBEDDING, kept=1)


def _convolutions(block: int, names: tuple[str, ...]) -> list[Entry]:
    """A block's convolutions, in their order."""
    return [
        entry
        for number, name in enumerate(names)
        for entry in _sn(
            layer(f"block_{block}.Conv_{number}", f"blocks.{block}.0.{name}", CONV),
            f"block_{block}.SpectralNorm_{number}",
        )
    ]


def _attention(grids: list[int], attention: int) -> list[Entry]:
    """Self-attention behind the blocks whose grid is that high."""
    entries: list[Entry] = []
    for place, block in enumerate(i for i, height in enumerate(grids) if height == attention):
        path, name = f"SelfAttention_{place}", f"blocks.{block}.1"
        entries.append(Entry((f"params.{path}.gamma",), (f"{name}.gamma",), SAME))
        for number, each in enumerate(ATTENTION):
            conv = layer(f"{path}.Conv_{number}", f"{name}.{each}", CONV, bias=None)
            entries += _sn(conv, f"{path}.SpectralNorm_{number}")
    return entries


def _statistics(path: str, name: str) -> list[Entry]:
    return [Entry((f"batch_stats.{path}.{leaf}",), (f"{name}.stored_{leaf}",)) for leaf in ("mean", "var")]


def _sn(table: Table, around: str) -> Table:
    return normalised(table, around, SPECTRAL, refined(table[0].rule))
