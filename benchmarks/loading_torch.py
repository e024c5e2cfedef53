"""PyTorch's side of `loading.py`, which starts it: `python loading_torch.py FOLDER SIZE BATCH WORKERS`.

Each line N on stdin is answered, on stdout, by the seconds that N batches took.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

FILTER, FLIP = Image.Resampling.LANCZOS, Image.Transpose.FLIP_LEFT_RIGHT
AHEAD = 8  # batches that are taken before the clock starts, so that none counts that was made before


class Images(Dataset[torch.Tensor]):
    """The images of a folder: float32 [3,size,size] in [-1, 1], flipped with probability 1/2."""

    def __init__(self, folder: str, size: int) -> None:
        self.paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        self.size = (size, size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as file:
            image = file.convert("RGB")
        if image.size != self.size:
            image = image.resize(self.size, FILTER)
        if torch.rand(()) < 0.5:
            image = image.transpose(FLIP)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels.float().div_(127.5).sub_(1)


class Endless(Sampler[int]):
    """One order after another, so that no turn pays for the start of an epoch."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.length).tolist()


def main(folder: str, size: str, batch: str, workers: str) -> None:
    """Answers until stdin ends."""
    torch.set_num_threads(1)  # as its workers do: with more, small tensors wait for threads
    images = Images(folder, int(size))
    loader = DataLoader(
        images, batch_size=int(batch), sampler=Endless(len(images)), num_workers=int(workers), drop_last=True
    )
    batches = iter(loader)
    for line in sys.stdin:
        for _ in range(AHEAD):
            next(batches)
        start = time.perf_counter()
        for _ in range(int(line)):
            next(batches)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
