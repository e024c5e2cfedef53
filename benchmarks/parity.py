"""PyTorch's side of tests/test_interop.py: networks by the names of public layouts, and files that it wrote.

    PYTHONPATH=tests python benchmarks/parity.py tests/parity.npz tests/weights

with a Python that has PyTorch, from the repository's root. Every network's state dict is filled as the tests
fill it; written are only the names and shapes of its state dict, and what it makes of its inputs. The files
of weights are a few numbers each, in every form that torch.save has.

The networks are written from the papers; their attributes are called as in the layouts.
"""

import json
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from parity_weights import drawn, filled
from torch import nn
from torch.nn.utils import spectral_norm


def dcgan_generator() -> nn.Module:
    """16x16: a grid of 4x4x8 from 5 latents, and once more doubled."""
    model = nn.Module()
    model.main = nn.Sequential(
        nn.ConvTranspose2d(5, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    model.forward = lambda latents: model.main(latents[:, :, None, None])
    return model


def dcgan_discriminator(*, spectral: bool) -> nn.Module:
    """16x16, two stages; with spectral normalisation it has biases and no batch normalisation."""
    wrap: Any = spectral_norm if spectral else (lambda layer: layer)
    conv = lambda *args: wrap(nn.Conv2d(*args, bias=spectral))  # noqa: E731
    norm = [] if spectral else [nn.BatchNorm2d(8)]
    model = nn.Module()
    model.main = nn.Sequential(
        conv(3, 4, 4, 2, 1),
        nn.LeakyReLU(0.2),
        conv(4, 8, 4, 2, 1),
        *norm,
        nn.LeakyReLU(0.2),
        conv(8, 1, 4, 1, 0),
    )
    model.forward = lambda images: model.main(images).flatten()
    return model


class Refined(nn.Module):
    """A layer whose weight is divided by its largest singular value, found one iteration from a vector on."""

    def __init__(self, layer: nn.Module, vector: str, value: str) -> None:
        super().__init__()
        self.weight, self.vector = layer.weight, vector
        if getattr(layer, "bias", None) is not None:
            self.bias = layer.bias
        self.register_buffer(vector, torch.zeros(1, len(layer.weight)))
        self.register_buffer(value, torch.zeros(1))
        self.padding = getattr(layer, "padding", None)
        self.embeds = isinstance(layer, nn.Embedding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.weight.flatten(1)
        right = F.normalize(getattr(self, self.vector) @ rows)
        left = F.normalize(right @ rows.T)
        weight = self.weight / (right @ rows.T @ left.T).squeeze()
        if self.embeds:
            return F.embedding(x, weight)
        bias = getattr(self, "bias", None)
        return (
            F.linear(x, weight, bias) if weight.ndim == 2 else F.conv2d(x, weight, bias, padding=self.padding)
        )


def halved(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 2)


def doubled(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2)


class Block(nn.Module):
    """A residual block of a discriminator."""

    def __init__(
        self, sizes: tuple[int, int], wrap: Callable[[nn.Module], nn.Module], names: tuple[str, ...],
        *, first: bool, halve: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        one, two, skip = names
        setattr(self, one, wrap(nn.Conv2d(*sizes, 3, padding=1)))
        setattr(self, two, wrap(nn.Conv2d(sizes[1], sizes[1], 3, padding=1)))
        if halve:
            setattr(self, skip, wrap(nn.Conv2d(*sizes, 1)))
        self.names, self.first, self.halve = names, first, halve

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, two, skip = (getattr(self, name, lambda x: x) for name in self.names)
        down = halved if self.halve else (lambda x: x)
        h = down(two(F.relu(one(x if self.first else F.relu(x)))))
        if self.first:
            return h + skip(down(x))
        return h + down(skip(x))


class SnganGenerator(nn.Module):
    """16x16: from 6 latents to 4x4x8, twice doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Linear(6, 8 * 16)
        for i in (2, 3):
            block = nn.Module()
            block.c1, block.c2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            block.b1, block.b2, block.c_sc = nn.BatchNorm2d(8), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)
            setattr(self, f"block{i}", block)
        self.b4, self.c4 = nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        x = self.l1(latents).view(-1, 8, 4, 4)
        for block in (self.block2, self.block3):
            h = block.c1(doubled(F.relu(block.b1(x))))
            x = block.c2(F.relu(block.b2(h))) + block.c_sc(doubled(x))
        return torch.tanh(self.c4(F.relu(self.b4(x))))


class SnganDiscriminator(nn.Module):
    """16x16, twice halved, and one block that keeps the grid."""

    def __init__(self) -> None:
        super().__init__()
        wrap = lambda layer: Refined(layer, "sn_u", "sn_sigma")  # noqa: E731
        names = ("c1", "c2", "c_sc")
        self.block1 = Block((3, 8), wrap, names, first=True, halve=True)
        self.block2 = Block((8, 8), wrap, names, first=False, halve=True)
        self.block3 = Block((8, 8), wrap, names, first=False, halve=False)
        self.l4 = wrap(nn.Linear(8, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.block3(self.block2(self.block1(images))))
        return self.l4(x.sum((2, 3)))[:, 0]


def sn(layer: nn.Module) -> nn.Module:
    """As BigGAN's layers are normalised."""
    return Refined(layer, "u0", "sv0")


class Told(nn.Module):
    """Batch normalisation that is told gain and bias; without a size of what tells them, that learns them."""

    def __init__(self, channels: int, told: int = 0) -> None:
        super().__init__()
        self.told = told
        self.gain = sn(nn.Linear(told, channels, bias=False)) if told else nn.Parameter(torch.zeros(channels))
        self.bias = sn(nn.Linear(told, channels, bias=False)) if told else nn.Parameter(torch.zeros(channels))
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.zeros(channels))

    def forward(self, x: torch.Tensor, y: Any = None) -> torch.Tensor:
        x = F.batch_norm(x, self.stored_mean, self.stored_var, eps=1e-5)
        gain, bias = (1 + self.gain(y), self.bias(y)) if self.told else (self.gain[None], self.bias[None])
        return x * gain[:, :, None, None] + bias[:, :, None, None]


class Attention(nn.Module):
    """Self-attention with pooled keys and values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, sizes in {"theta": (1, 1 / 8), "phi": (1, 1 / 8), "g": (1, 1 / 2), "o": (1 / 2, 1)}.items():
            ends = (int(channels * size) for size in sizes)
            setattr(self, name, sn(nn.Conv2d(*ends, 1, bias=False)))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        theta, phi, g = (
            self.theta(x).flatten(2),
            *(F.max_pool2d(f(x), 2).flatten(2) for f in (self.phi, self.g)),
        )
        weights = F.softmax(theta.transpose(1, 2) @ phi, -1)
        found = (g @ weights.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return self.gamma * self.o(found) + x


class BigganGenerator(nn.Module):
    """8x8: 3 classes, 6 latents in three parts, 2x2x16 twice doubled, attention at 4x4."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.linear = nn.Embedding(3, 5), sn(nn.Linear(2, 16 * 4))
        self.blocks = nn.ModuleList()
        for sizes in ((16, 16), (16, 8)):
            block = nn.Module()
            block.conv1, block.conv2 = (
                sn(nn.Conv2d(*sizes, 3, padding=1)),
                sn(nn.Conv2d(sizes[1], sizes[1], 3, padding=1)),
            )
            block.conv_sc, block.bn1, block.bn2 = (
                sn(nn.Conv2d(*sizes, 1)),
                Told(sizes[0], 7),
                Told(sizes[1], 7),
            )
            self.blocks.append(nn.ModuleList([block]))
        self.blocks[0].append(Attention(16))
        self.output_layer = nn.Sequential(Told(8), nn.ReLU(), sn(nn.Conv2d(8, 3, 3, padding=1)))

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        first, *parts = latents.split(2, 1)
        x = self.linear(first).view(-1, 16, 2, 2)
        for part, (block, *attention) in zip(parts, self.blocks, strict=True):
            y = torch.cat([self.shared(labels), part], 1)
            h = block.conv1(doubled(F.relu(block.bn1(x, y))))
            x = block.conv2(F.relu(block.bn2(h, y))) + block.conv_sc(doubled(x))
            for each in attention:
                x = each(x)
        return torch.tanh(self.output_layer(x))


class BigganDiscriminator(nn.Module):
    """8x8: 3 classes, twice halved, attention at 4x4, one block that keeps the grid."""

    def __init__(self) -> None:
        super().__init__()
        names = ("conv1", "conv2", "conv_sc")
        self.blocks = nn.ModuleList(
            nn.ModuleList([Block(sizes, sn, names, first=i == 0, halve=i < 2)])
            for i, sizes in enumerate(((3, 8), (8, 16), (16, 16)))
        )
        self.blocks[0].append(Attention(8))
        self.linear, self.embed = sn(nn.Linear(16, 1)), sn(nn.Embedding(3, 16))

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = images
        for each in (each for block in self.blocks for each in block):
            x = each(x)
        pooled = F.relu(x).sum((2, 3))
        return self.linear(pooled)[:, 0] + (self.embed(labels) * pooled).sum(1)


class Srgan(nn.Module):
    """Two residual blocks of 4 channels; in and out in [0, 1]."""

    def __init__(self, factors: tuple[int, ...], *, prelu: bool) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 4, 9, padding=4), nn.PReLU())
        for i in (2, 3):
            block = nn.Module()
            block.conv1, block.bn1, block.prelu = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.PReLU()
            block.conv2, block.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            setattr(self, f"block{i}", block)
        self.block4 = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.PReLU() if prelu else nn.BatchNorm2d(4))
        self.block5 = nn.Sequential()
        for factor in factors:
            block = nn.Module()
            block.conv, block.prelu = nn.Conv2d(4, 4 * factor**2, 3, padding=1), nn.PReLU()
            self.block5.append(block)
        self.block5.append(nn.Conv2d(4, 3, 9, padding=4))
        self.factors = factors

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = first = self.block1(images)
        for block in (self.block2, self.block3):
            x = x + block.bn2(block.conv2(block.prelu(block.bn1(block.conv1(x)))))
        x = first + self.block4(x)
        for factor, block in zip(self.factors, self.block5, strict=False):
            x = block.prelu(F.pixel_shuffle(block.conv(x), factor))
        return (torch.tanh(self.block5[-1](x)) + 1) / 2


class Sequential(nn.Module):
    """10x10, of 3 classes: what no family of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb, self.l1 = nn.Embedding(3, 2), nn.Sequential(nn.Linear(6, 4 * 2 * 3))
        self.blocks = nn.Sequential(
            nn.BatchNorm2d(4), nn.Upsample(scale_factor=2), nn.Conv2d(4, 5, 3, 1, 1), nn.BatchNorm2d(5, 0.8),
            nn.LeakyReLU(0.2), nn.ConvTranspose2d(5, 4, 3, 2, 1, bias=False), nn.ReLU(),
            nn.Conv2d(4, 3, 2, 2), nn.Tanh(),
        )  # fmt: skip

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = self.l1(torch.cat((latents, self.label_emb(labels)), -1))
        return self.blocks(x.view(-1, 4, 2, 3))


class Equal(nn.Module):
    """A layer with an equalised learning rate, dense or convolving."""

    def __init__(self, *shape: int, bias: bool = True, rate: float = 1.0, filtered: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))
        if bias:
            self.bias = nn.Parameter(torch.zeros(shape[0]))
        if filtered:
            self.register_buffer("resample_filter", torch.zeros(4, 4))
        self.rate = rate

    def scaled(self) -> torch.Tensor:
        return self.weight * self.rate / self.weight[0].numel() ** 0.5

    def forward(self, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.scaled(), self.bias * self.rate)


def active(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, 0.2) * 2**0.5


def smoothed(x: torch.Tensor, kernel: torch.Tensor, before: int, after: int) -> torch.Tensor:
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, kernel.expand(x.shape[1], 1, 4, 4), groups=x.shape[1])


class Mapping(nn.Module):
    """Latents and labels, or labels alone, to styles."""

    def __init__(self, latents: int, size: int, *, mean: bool) -> None:
        super().__init__()
        self.embed, self.fc0 = Equal(size, 3), Equal(size, latents + size, rate=0.01)
        self.fc1 = Equal(size, size, rate=0.01)
        if mean:
            self.register_buffer("w_avg", torch.zeros(size))

    def forward(self, latents: Any, labels: torch.Tensor) -> torch.Tensor:
        parts = [self.embed(F.one_hot(labels, 3).float())]
        parts = parts if latents is None else [latents, *parts]
        x = torch.cat([part / (part.square().mean(1, keepdim=True) + 1e-8).sqrt() for part in parts], 1)
        return active(self.fc1(active(self.fc0(x))))


class Styled(Equal):
    """A modulated convolution of 3x3, or of 1x1 to an image, without noise."""

    def __init__(self, ends: tuple[int, int], grid: int, *, up: bool = False, image: bool = False) -> None:
        size = 1 if image else 3
        super().__init__(ends[1], ends[0], size, size, filtered=not image)
        self.affine, self.up, self.image = Equal(ends[0], 5), up, image
        if not image:
            self.register_buffer("noise_const", torch.zeros(grid, grid))
            self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor, *styles: torch.Tensor) -> torch.Tensor:
        (style,) = styles
        kernels = self.scaled()[None] * self.affine(style)[:, None, :, None, None]
        if not self.image:
            kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        each = [self.one(image[None], kernel) for image, kernel in zip(x, kernels, strict=True)]
        out = torch.cat(each) + self.bias[:, None, None]
        return out if self.image else active(out)

    def one(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        if not self.up:
            return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
        x = F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
        return smoothed(x, 4 * self.resample_filter, 1, 1)


class Stylegan2Generator(nn.Module):
    """8x8: 3 classes, 4 latents, styles of 5, 4x4x12 and 8x8x6."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping, self.synthesis = Mapping(4, 5, mean=True), nn.Module()
        first = self.synthesis.b4 = nn.Module()
        first.const = nn.Parameter(torch.zeros(12, 4, 4))
        first.conv1, first.torgb = Styled((12, 12), 4), Styled((12, 3), 4, image=True)
        second = self.synthesis.b8 = nn.Module()
        second.conv0, second.conv1 = Styled((12, 6), 8, up=True), Styled((6, 6), 8)
        second.torgb = Styled((6, 3), 8, image=True)
        for block in (first, second):
            block.register_buffer("resample_filter", torch.zeros(4, 4))

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        style, first, second = self.mapping(latents, labels), self.synthesis.b4, self.synthesis.b8
        x = first.conv1(first.const.expand(len(latents), -1, -1, -1), style)
        spread = torch.zeros(len(x), 3, 8, 8)
        spread[:, :, ::2, ::2] = first.torgb(x, style)
        image = smoothed(spread, 4 * second.resample_filter, 2, 1)
        return image + second.torgb(second.conv1(second.conv0(x, style), style), style)


class Stylegan2Discriminator(nn.Module):
    """8x8: 3 classes, 8x8x6 and 4x4x12, a batch that is one group."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = Mapping(0, 12, mean=False)
        first = self.b8 = nn.Module()
        first.register_buffer("resample_filter", torch.zeros(4, 4))
        first.fromrgb, first.conv0 = Equal(6, 3, 1, 1, filtered=True), Equal(6, 6, 3, 3, filtered=True)
        first.conv1 = Equal(12, 6, 3, 3, filtered=True)
        first.skip = Equal(12, 6, 1, 1, bias=False, filtered=True)
        last = self.b4 = nn.Module()
        last.conv, last.fc, last.out = Equal(12, 13, 3, 3, filtered=True), Equal(12, 12 * 16), Equal(12, 12)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        first, last = self.b8, self.b4
        x = active(F.conv2d(images, first.fromrgb.scaled(), first.fromrgb.bias))
        skip = F.conv2d(smoothed(x, first.resample_filter, 1, 1)[:, :, ::2, ::2], first.skip.scaled())
        x = active(F.conv2d(x, first.conv0.scaled(), first.conv0.bias, padding=1))
        x = smoothed(x, first.resample_filter, 2, 2)
        x = active(F.conv2d(x, first.conv1.scaled(), first.conv1.bias, stride=2))
        x = (x + skip) / 2**0.5
        deviation = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
        x = torch.cat([x, deviation.expand(len(x), 1, 4, 4)], 1)
        x = active(F.conv2d(x, last.conv.scaled(), last.conv.bias, padding=1))
        x = last.out(active(last.fc(x.flatten(1))))
        return (x * self.mapping(None, labels)).sum(1) / 12**0.5


LABELS = torch.tensor([0, 2, 1])
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], bool]] = {
    "dcgan generator": (dcgan_generator, (3, 5), False),
    "dcgan discriminator": (lambda: dcgan_discriminator(spectral=False), (3, 3, 16, 16), False),
    "dcgan spectral discriminator": (lambda: dcgan_discriminator(spectral=True), (3, 3, 16, 16), False),
    "sngan generator": (SnganGenerator, (3, 6), False),
    "sngan discriminator": (SnganDiscriminator, (3, 3, 16, 16), False),
    "biggan generator": (BigganGenerator, (3, 6), True),
    "biggan discriminator": (BigganDiscriminator, (3, 3, 8, 8), True),
    "srgan": (lambda: Srgan((2, 2), prelu=False), (2, 3, 5, 6), False),
    "srgan prelu": (lambda: Srgan((3,), prelu=True), (2, 3, 5, 6), False),
    "sequential": (Sequential, (3, 4), True),
    "stylegan2 generator": (Stylegan2Generator, (3, 4), True),
    "stylegan2 discriminator": (Stylegan2Discriminator, (3, 3, 8, 8), True),
}


@torch.no_grad()
def made(name: str) -> dict[str, np.ndarray]:
    """A network's names and shapes, and its outputs."""
    make, shape, labelled = NETWORKS[name]
    network = make().eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    weights = {key: torch.from_numpy(value) for key, value in filled(shapes).items()}
    network.load_state_dict(weights)
    inputs = torch.from_numpy(drawn(name, *shape))
    outputs = network(inputs, LABELS) if labelled else network(inputs)
    print(f"{name}: {len(shapes)} names, outputs {tuple(outputs.shape)}, {outputs.std():.2f}")
    return {f"{name}/shapes": np.asarray(json.dumps(shapes)), f"{name}/outputs": outputs.numpy()}


def write_files(folder: Path) -> None:
    """The same numbers in each form that torch.save has, for the readers."""
    base = torch.arange(24, dtype=torch.float32)
    state = OrderedDict(
        whole=base.reshape(2, 3, 4),
        transposed=base.reshape(4, 6).t(),  # shares its numbers with `whole`, and is not in a row
        part=base[5:17:3],
        double=torch.tensor([0.1, -0.0, float("inf")], dtype=torch.float64),
        half=torch.tensor([1.5, -2.0], dtype=torch.float16),
        brain=torch.tensor([[1.0, 3.0, -2.5]], dtype=torch.bfloat16),
        count=torch.tensor(7),
        bytes=torch.tensor([0, 255], dtype=torch.uint8),
        flags=torch.tensor([True, False]),
        none=torch.zeros(0),
    )
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    for tensor in module.state_dict().values():
        tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
    checkpoint = {
        "epoch": 3,
        "state_dict": module.state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "losses": [0.5, None, "low"],
        "optimizer": {0: {"step": torch.tensor(4.0)}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for kind, zipped in (("zip", True), ("legacy", False)):
        torch.save(state, folder / f"state_{kind}.pth", _use_new_zipfile_serialization=zipped)
        torch.save(checkpoint, folder / f"checkpoint_{kind}.pth", _use_new_zipfile_serialization=zipped)
    torch.save(module, folder / "module.pth")


if __name__ == "__main__":
    arrays = [made(name) for name in NETWORKS]
    np.savez_compressed(sys.argv[1], **{key: array for each in arrays for key, array in each.items()})
    write_files(Path(sys.argv[2]))
