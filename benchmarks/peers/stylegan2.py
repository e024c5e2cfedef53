"""StyleGAN2 in plain PyTorch. Source: Karras et al. 2020 (StyleGAN2), figures 2 and 7, and appendix B.

As people write it, each example's kernels are modulated, and all convolve in one convolution by groups. On
the best side grids are scaled before and after one convolution for all examples, which is the same and faster
on a CPU. Images, and grids on the skips, are resampled by PyTorch's interpolation, which has the filter's
taps and repeats pixels at the edges, where ours sees zeros.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


def activate(x: torch.Tensor) -> torch.Tensor:
    """The leaky ReLU, times sqrt(2)."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def blur(x: torch.Tensor, gain: float, padding: int) -> torch.Tensor:
    """The filter [1,3,3,1] along rows and columns, as two convolutions by groups of a channel."""
    channels = x.shape[1]
    taps = x.new_tensor([1.0, 3.0, 3.0, 1.0]) * (gain / 8)
    rows = taps.view(1, 1, 4, 1).expand(channels, 1, 4, 1)
    x = F.conv2d(x, rows, padding=(padding, 0), groups=channels)
    return F.conv2d(x, rows.transpose(2, 3), padding=(0, padding), groups=channels)


class Dense(nn.Module):
    """A dense layer with an equalised learning rate."""

    def __init__(
        self, before: int, after: int, *, active: bool = False, rate: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.active, self.rate, self.gain = active, rate, rate / math.sqrt(before)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.linear(x, self.weight * self.gain, self.bias * self.rate)
        return activate(out) if self.active else out


class Conv(nn.Module):
    """A convolution with an equalised learning rate, which may halve the grid."""

    def __init__(
        self, before: int, after: int, size: int = 3, *, down: bool = False, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, size, size))
        self.bias = nn.Parameter(torch.zeros(after)) if active else None
        self.gain, self.down = 1 / math.sqrt(before * size**2), down

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.down:
            out = F.conv2d(blur(x, 1.0, 2), self.weight * self.gain, self.bias, stride=2)
        else:
            out = F.conv2d(x, self.weight * self.gain, self.bias, padding="same")
        return out if self.bias is None else activate(out)


class ModulatedConv(nn.Module):
    """A convolution whose kernel each example's style scales, which may double the grid.

    Args:
      shape: channels before, channels after, the kernel's size.
      style_size: numbers of a style.
      demodulate: scale each output's kernel to a norm of 1.
      up: double the grid.
      grouped: modulate kernels, and not grids.
    """

    def __init__(
        self, shape: tuple[int, int, int], style_size: int, *, demodulate: bool, up: bool, grouped: bool
    ) -> None:
        super().__init__()
        before, after, size = shape
        self.weight = nn.Parameter(torch.randn(after, before, size, size))
        self.style = Dense(style_size, before, bias=1.0)
        self.gain = 1 / math.sqrt(before * size**2)
        self.demodulate, self.up, self.grouped = demodulate, up, grouped

    def forward(self, x: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        styles, weight = self.style(styles), self.weight * self.gain
        if not self.grouped:
            out = self.convolve(x * styles[:, :, None, None], weight, 1)
            if self.demodulate:
                norms = styles.square() @ weight.square().sum((2, 3)).T
                out = out * (norms + 1e-8).rsqrt()[:, :, None, None]
            return blur(out, 2.0, 1) if self.up else out
        count = len(x)
        kernels = weight * styles[:, None, :, None, None]  # [B,O,I,h,w]
        if self.demodulate:
            kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        out = self.convolve(x.reshape(1, -1, *x.shape[2:]), kernels.flatten(0, 1), count)
        out = out.view(count, -1, *out.shape[2:])
        return blur(out, 2.0, 1) if self.up else out

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
        """One convolution, transposed where the grid is doubled."""
        if not self.up:
            return F.conv2d(x, weight, padding="same", groups=groups)
        before, size = weight.shape[1], weight.shape[2:]
        turned = weight.view(groups, -1, before, *size).transpose(1, 2).reshape(groups * before, -1, *size)
        return F.conv_transpose2d(x, turned, stride=2, groups=groups)


class StyledConv(nn.Module):
    """A modulated convolution, noise, biases and the activation."""

    def __init__(self, before: int, after: int, style_size: int, *, up: bool, grouped: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv((before, after, 3), style_size, demodulate=True, up=up, grouped=grouped)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
        x = self.conv(x, styles)
        noise = torch.randn(len(x), 1, *x.shape[2:])
        return activate(x + self.strength * noise + self.bias[:, None, None])


def widths(recipe: Any, fields: Any) -> list[int]:
    """Channels at each resolution from the image inwards, to a grid of 4x4."""
    return [min(fields["width"] * 2**i, fields["widest"]) for i in range((recipe.size // 4).bit_length())]


class Generator(nn.Module):
    """Latents [B,Z] to images [B,3,H,W], with skips and styles of two latents."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        fields, grouped = recipe.generator, not recipe.best
        size, self.mixing = fields["style_size"], fields["mixing"]
        channels = widths(recipe, fields)[::-1]
        sizes = [recipe.latent, *[size] * fields["mapping_depth"]]
        dense = [Dense(a, b, active=True, rate=0.01) for a, b in pairwise(sizes)]
        self.mapping = nn.Sequential(*dense)
        self.constant = nn.Parameter(torch.randn(channels[0], 4, 4))
        pairs = [(channels[0], channels[0], False)]
        for before, after in pairwise(channels):
            pairs += [(before, after, True), (after, after, False)]
        self.convs = nn.ModuleList(StyledConv(a, b, size, up=up, grouped=grouped) for a, b, up in pairs)
        self.to_images = nn.ModuleList(
            ModulatedConv((c, 3, 1), size, demodulate=False, up=False, grouped=grouped) for c in channels
        )
        self.biases = nn.Parameter(torch.zeros(len(channels), 3, 1, 1))

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        styles = self.styles(latents)
        x = self.convs[0](self.constant.expand(len(latents), -1, -1, -1), styles[:, 0])
        images = self.to_images[0](x, styles[:, 1]) + self.biases[0]
        for i in range(1, len(self.to_images)):
            x = self.convs[2 * i - 1](x, styles[:, 2 * i - 1])
            x = self.convs[2 * i](x, styles[:, 2 * i])
            images = F.interpolate(images, scale_factor=2, mode="bilinear")
            images = images + self.to_images[i](x, styles[:, 2 * i + 1]) + self.biases[i]
        return images

    def styles(self, latents: torch.Tensor) -> torch.Tensor:
        """[B,L,S], of which some examples' are, from some layer on, those of other latents."""
        count = len(self.convs) + 1
        both = torch.cat([latents, torch.randn_like(latents)])
        both = both * (both.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        own, other = self.mapping(both).chunk(2)
        place = torch.randint(1, count, (len(latents), 1))
        place = torch.where(torch.rand(len(latents), 1) < self.mixing, place, count)
        crossed = torch.arange(count) >= place
        return torch.where(crossed[:, :, None], other[:, None], own[:, None])


class DiscriminatorBlock(nn.Module):
    """[B,I,H,W] to [B,O,H/2,W/2], residual."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(Conv(before, before), Conv(before, after, down=True))
        self.skip = Conv(before, after, 1, active=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
        return (self.convs(x) + self.skip(small)) / math.sqrt(2)


class Discriminator(nn.Module):
    """Images [B,3,H,W] to logits [B], with the deviation of groups of 4 examples."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        channels = widths(recipe, recipe.discriminator)
        blocks = [DiscriminatorBlock(a, b) for a, b in pairwise(channels)]
        self.blocks = nn.Sequential(Conv(3, channels[0], 1), *blocks)
        last = channels[-1]
        self.conv = Conv(last + 1, last)
        self.dense = nn.Sequential(nn.Flatten(), Dense(last * 16, last, active=True), Dense(last, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.blocks(images)
        groups = x.reshape(-1, 4, *x.shape[1:])
        deviations = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(4)
        channel = deviations[:, None, None, None].expand(-1, 1, *x.shape[2:])
        return self.dense(self.conv(torch.cat([x, channel], 1)))[:, 0]
