"""The names of StyleGAN2-ADA's networks in PyTorch: 'mapping.fc0.weight', 'synthesis.b8.conv0.affine.weight'.

From what is publicly known of the layout, and not checked on one of its files; those are pickles of modules,
which nobody should load: their state dict, saved as .safetensors or by torch.save, is what is read here.
Fixed noise ('noise_const') has no place in ours and is kept aside. The discriminator's groups are the same
while a batch is one group.
"""

import numpy as np

from jaxgan.interop.pickles import WeightsError
from jaxgan.interop.rules import CONV, DENSE, SAME, Arrays, Rule, moved, turned, unrolled
from jaxgan.interop.tables import Entry, Table, layer
from jaxgan.models import layers, stylegan2


def table(network: stylegan2.Generator | stylegan2.Discriminator) -> Table:
    """The table of either player: square images of 8, 16, 32, ... pixels, the forms of the published ones.

    Raises:
      WeightsError: the network has what the layout has no names for.
    """
    made = isinstance(network, stylegan2.Generator)
    form = network.generator_form if isinstance(network, stylegan2.Generator) else network.discriminator_form
    height, width, _ = network.image_shape
    if form != ("skip" if made else "residual") or getattr(network, "heads", None):
        raise WeightsError("The layout 'stylegan2' has the form 'skip' in G, 'residual' in D, and no heads.")
    if height != width or height >> layers.doublings(network.image_shape, network.smallest) != 4:
        raise WeightsError("The layout 'stylegan2' has square images, doubled from a grid of 4x4.")
    return generator(network) if isinstance(network, stylegan2.Generator) else discriminator(network)


def generator(network: stylegan2.Generator) -> Table:
    """mapping; synthesis.b4 with const, conv1, torgb; synthesis.b8, b16, ... with conv0, conv1, torgb."""
    entries = [Entry(("averages.w",), ("mapping.w_avg",)), *_mapping(network)]
    entries += [Entry(("params.constant",), ("synthesis.b4.const",), moved(1, 2, 0))]
    entries += [_filter("synthesis.b4"), *_styled("first", "synthesis.b4.conv1", 4)]
    entries += _image("to_images_0", "synthesis.b4.torgb")
    for i in range(layers.doublings(network.image_shape, network.smallest)):
        size = 8 << i
        name = f"synthesis.b{size}"
        entries.append(_filter(name))
        entries += _styled(f"blocks_{i}.layer_0", f"{name}.conv0", size, up=True)
        entries += _styled(f"blocks_{i}.layer_1", f"{name}.conv1", size)
        entries += _image(f"to_images_{i + 1}", f"{name}.torgb")
    return tuple(entries)


def discriminator(network: stylegan2.Discriminator) -> Table:
    """The largest b with fromrgb; each with conv0, conv1 and skip; b4 with conv, fc and out; mapping."""
    height, count = network.image_shape[0], layers.doublings(network.image_shape, network.smallest)
    channels = stylegan2.widths(network.width, network.widest, count + 1)[-1]
    name = f"b{height}.fromrgb"
    entries = [*layer("from_image_0", name, CONV), _filter(name)]
    for i in range(count):
        name = f"b{height >> i}"
        entries.append(_filter(name))
        for ours, theirs in (("layer_0", "conv0"), ("layer_1", "conv1"), ("skip", "skip")):
            bias = None if ours == "skip" else SAME
            entries += layer(f"block_{i}.{ours}", f"{name}.{theirs}", CONV, bias=bias)
            entries.append(_filter(f"{name}.{theirs}"))
    entries += [*layer("last", "b4.conv", CONV), _filter("b4.conv")]
    entries += layer("hidden", "b4.fc", unrolled((4, 4, channels)))
    entries += layer("logits", "b4.out", DENSE)
    return *entries, *(_mapping(network) if network.num_classes else ())


def _mapping(network: stylegan2.Generator | stylegan2.Discriminator) -> list[Entry]:
    entries = [*layer("mapping.embedding", "mapping.embed", DENSE)] if network.num_classes else []
    for i in range(network.mapping_depth):
        entries += layer(f"mapping.dense_{i}", f"mapping.fc{i}", DENSE)
    return entries


def _styled(ours: str, theirs: str, size: int, *, up: bool = False) -> list[Entry]:
    """A layer of styles; one that doubles the grid is a convolution in the sense that turns its kernel."""
    noise = Rule(lambda _: (), lambda: (np.zeros((size, size), np.float32),))
    return [
        *layer(ours, theirs, turned(CONV) if up else CONV),
        *layer(f"{ours}.style", f"{theirs}.affine", DENSE),
        Entry((f"params.{ours}.strength",), (f"{theirs}.noise_strength",)),
        Entry((), (f"{theirs}.noise_const",), noise, kept=1),
        _filter(theirs),
    ]


def _image(ours: str, theirs: str) -> list[Entry]:
    return [*layer(ours, theirs, CONV), *layer(f"{ours}.style", f"{theirs}.affine", DENSE)]


def _filter(theirs: str) -> Entry:
    """The filter of resampling, which is the only one that ours has."""
    known = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / np.float32(64)

    def ours(found: np.ndarray) -> Arrays:
        if found.shape != known.shape or not np.allclose(found, known, atol=1e-6):
            raise ValueError("a filter other than [1, 3, 3, 1]")
        return ()

    return Entry((), (f"{theirs}.resample_filter",), Rule(ours, lambda: (known,)), kept=1)
