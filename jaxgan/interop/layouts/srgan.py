"""The names of a widespread SRGAN in PyTorch: 'block1.0.weight', 'block2.conv1.weight', 'block8.2.weight'.

Its images are in [0, 1] at both ends; those of our generator, `srresnet`, are in [-1, 1] at both ends, and it
maps the first itself. With tanh at the end (`bounded`) both make the same of the same.
"""

from jaxgan.interop.rules import CONV, SCALAR
from jaxgan.interop.tables import Entry, Table, batch_norm, layer
from jaxgan.models import srresnet


def table(network: srresnet.Generator) -> Table:
    """block1; as many residual blocks as there are; one block that closes them; the last one enlarges."""
    number, close = network.blocks + 2, network.closing
    entries = [*layer("Conv_0", "block1.0", CONV), _slope("PReLU_0", "block1.1")]
    for i in range(network.blocks):
        path, name = f"block_{i}", f"block{i + 2}"
        for place in (1, 2):
            entries += layer(f"{path}.Conv_{place - 1}", f"{name}.conv{place}", CONV)
            entries += batch_norm(f"{path}.BatchNorm_{place - 1}", f"{name}.bn{place}")
        entries.append(_slope(f"{path}.PReLU_0", f"{name}.prelu"))
    entries += layer("Conv_1", f"block{number}.0", CONV)
    last = f"block{number}.1"
    entries += [_slope("PReLU_1", last)] if close == "prelu" else batch_norm("BatchNorm_0", last)
    slopes = 2 if close == "prelu" else 1
    factors = srresnet.FACTORS[network.scale]
    for i in range(len(factors)):
        name = f"block{number + 1}.{i}"
        entries += layer(f"Conv_{i + 2}", f"{name}.conv", CONV)
        entries.append(_slope(f"PReLU_{i + slopes}", f"{name}.prelu"))
    return *entries, *layer(f"Conv_{len(factors) + 2}", f"block{number + 1}.{len(factors)}", CONV)


def _slope(path: str, name: str) -> Entry:
    return Entry((f"params.{path}.slope",), (f"{name}.weight",), SCALAR)
