"""Files of weights read without running them: PyTorch's .pth of today and of before 2020, .safetensors, .npz.

The layouts are those of torch.save and torch.load as PyTorch documents and writes them; weights only.
"""

import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import safetensors.numpy

from jaxgan.files import whole
from jaxgan.interop import pickles
from jaxgan.interop.pickles import Storage, Tensor, WeightsError

Weights = dict[str, np.ndarray]
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of torch.save before version 1.6
LARGEST = 1 << 34  # bytes of the arrays of a compressed file
DEEPEST, MOST, LONGEST = 8, 1 << 17, 1 << 10  # dicts in dicts, their entries, characters of a name
SAFETENSORS: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


def read(path: str | os.PathLike[str]) -> Weights:
    """The arrays of a file of weights, by name.

    Nothing in the file is run or imported, and memory is taken only for what the file is seen to hold.

    Args:
      path: a .safetensors file, a .npz, or what torch.save made of a state dict or of a dict of some.

    Returns:
      Arrays in their own dtypes (bfloat16 as that of ml_dtypes), in the file's order. Those of a dict inside
      a dict are called 'outer.inner'. Arrays that share numbers in the file share them here: they can be read
      and not written.

    Raises:
      WeightsError: the file is damaged, holds anything but arrays, numbers and strings, or is no such file.
      OSError: it cannot be read.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return read_safetensors(path)[0]
        if path.suffix == ".npz":
            return _read_npz(path)
        with path.open("rb") as file:
            return _read_zip(file) if file.read(4) == b"PK\x03\x04" else _read_legacy(file)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def under(weights: Mapping[str, np.ndarray], prefix: str) -> Weights:
    """The arrays whose names begin with `prefix`, such as 'module.' or 'state_dict.', called by the rest.

    Raises:
      WeightsError: there are none.
    """
    found = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
    if not found:
        raise WeightsError(f"No name begins with {prefix!r}; the first are {list(weights)[:3]}.")
    return found


def write(
    path: str | os.PathLike[str],
    weights: Mapping[str, np.ndarray],
    *,
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes arrays by name as .safetensors, which PyTorch reads too, whole or not at all.

    Raises:
      FileExistsError: there is such a file, and it was not said that it is to be written over.
      WeightsError: the name does not end in .safetensors.
    """
    if Path(path).suffix != ".safetensors":
        raise WeightsError(f"{path} is to be a .safetensors file; give it that ending.")
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists: give another name, or say that it is to be written over.")
    whole_arrays = {name: np.array(array, order="C") for name, array in weights.items()}
    data = safetensors.numpy.save(whole_arrays, metadata=dict(metadata) if metadata else None)
    with whole(path) as temporary:
        temporary.write_bytes(data)


def read_safetensors(path: Path) -> tuple[Weights, dict[str, str]]:
    """The arrays of a .safetensors file by name, and its metadata."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
        found = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise WeightsError(f"it is no whole .safetensors file: {error}.") from None
    weights = {}
    for name, entry in found:
        if entry["dtype"] not in SAFETENSORS:
            raise WeightsError(f"{name} is of type {entry['dtype']}, expected {', '.join(SAFETENSORS)}.")
        array = np.frombuffer(entry["data"], SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
        array.flags.writeable = False
        weights[name] = array
    return weights, metadata


def _read_npz(path: Path) -> Weights:
    """NumPy's archives of plain arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > LARGEST:
            raise WeightsError(f"it claims {size:,} bytes of arrays; more than {LARGEST:,} are not read.")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (WeightsError, FileNotFoundError):
        raise
    except Exception as error:  # zlib, zipfile and NumPy have errors of many kinds
        raise WeightsError(f"it is no .npz of plain arrays that can be read: {error}.") from None


def _read_zip(file: BinaryIO) -> Weights:
    """torch.save's files since version 1.6: a pickle, and beside it a member of raw numbers a storage."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, _size(file))
            found = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
            if len(found) != 1 or members[found[0]].file_size > pickles.LONGEST:
                raise WeightsError("it is an archive without a pickle of tensors ('data.pkl').")
            folder = found[0].removesuffix("data.pkl")
            order = members.get(f"{folder}byteorder")
            if order is not None and (order.file_size > 6 or archive.read(order) != b"little"):
                raise WeightsError("it was written by a big-endian machine: save it anew.")
            tensors, storages = _tensors(pickles.describe(BytesIO(archive.read(members[found[0]]))))
            arrays: Weights = {}
            for key, storage in storages.items():
                member = members.get(f"{folder}data/{key}")
                if member is None or member.file_size != storage.length * storage.dtype.itemsize:
                    raise WeightsError(f"the storage {pickles.brief(key)} is missing or of another size.")
                arrays[key] = np.frombuffer(archive.read(member), storage.dtype)
    except WeightsError:
        raise
    except (zipfile.BadZipFile, struct.error, ValueError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"it is a damaged archive: {error}.") from None
    return {name: _view(name, tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """An archive's members by name: as torch.save writes them, stored as they are, and each once."""
    members = {info.filename: info for info in archive.infolist()}
    stored = all(
        info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
        for info in members.values()
    )
    if not stored or len(members) != len(archive.infolist()):
        raise WeightsError("its members are compressed, or share names: torch.save writes no such archive.")
    if sum(info.file_size for info in members.values()) > size:
        raise WeightsError("its members are larger than the archive: they overlap, or it has been cut.")
    return members


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _read_legacy(file: BinaryIO) -> Weights:
    """torch.save's files before version 1.6: five pickles, and then the storages, each after its length."""
    file.seek(0)
    head = BytesIO(file.read(pickles.LONGEST))
    if head.getvalue()[:1] != b"\x80" or pickles.describe(head) != MAGIC:
        raise WeightsError("it is neither .safetensors nor a file of torch.save: expected one of these.")
    protocol, system = pickles.describe(head), pickles.describe(head)
    if protocol != PROTOCOL or type(system) is not dict or system.get("little_endian") is not True:
        raise WeightsError(f"it is of the protocol {pickles.brief(protocol)}, or not little-endian.")
    tensors, storages = _tensors(pickles.describe(head))
    keys = pickles.describe(head)
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise WeightsError("its list of storages is damaged.")
    if sorted(keys) != sorted(storages):
        raise WeightsError("its list of storages is not that of its tensors.")
    file.seek(head.tell())
    arrays = {key: _stored(file, storages[key]) for key in keys}
    return {name: _view(name, tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _stored(file: BinaryIO, storage: Storage) -> np.ndarray:
    """The storage that comes next in a file: its length in eight bytes, then its numbers."""
    length, size = int.from_bytes(file.read(8), "little"), storage.length * storage.dtype.itemsize
    if length != storage.length or size > _size(file) - file.tell():
        raise WeightsError(f"the storage {pickles.brief(storage.key)} is of another size, or was cut off.")
    return np.frombuffer(file.read(size), storage.dtype)


def _tensors(described: Any) -> tuple[dict[str, Tensor], dict[str, Storage]]:
    """The tensors of a dict and of the dicts in it, by name, and their storages, by key."""
    if type(described) is not dict:
        raise WeightsError(f"it holds {pickles.brief(described)}, expected a dict of tensors.")
    tensors: dict[str, Tensor] = {}
    storages: dict[str, Storage] = {}
    for name, value in _leaves(described):
        if not isinstance(value, Tensor):
            continue  # an epoch, an optimiser's settings
        if name in tensors:
            raise WeightsError(f"two of its tensors are called {name}.")
        if storages.setdefault(value.storage.key, value.storage) != value.storage:
            raise WeightsError(f"two of its storages are called {pickles.brief(value.storage.key)}.")
        tensors[name] = value
    return tensors, storages


def _leaves(described: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Values that are no dicts, depth first and in order, by name.

    A pickle can put one dict into many places, and into itself: entries, depth and names have bounds.
    """
    left: list[tuple[str, int, Any]] = [("", 0, described)]
    count = 0
    while left:
        name, depth, value = left.pop()
        if type(value) is not dict:
            yield name, value
            continue
        count += 1 + len(value)
        if count > MOST or depth == DEEPEST or any(len(f"{key}") > LONGEST for key in value):
            raise WeightsError("its dicts hold too much, too deep, or under too long names.")
        inner = [(f"{name}.{key}" if depth else f"{key}", depth + 1, value[key]) for key in value]
        left.extend(reversed(inner))


def _view(name: str, tensor: Tensor, storage: np.ndarray) -> np.ndarray:
    """A tensor's numbers, where they lie in its storage; a view that can only be read."""
    shape, steps = tensor.shape, tensor.strides
    size = math.prod(shape)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    if max(size, *shape, 1) > max(storage.size, 1) or (size and last >= storage.size):
        raise WeightsError(
            f"{name} is {pickles.brief(shape)} with strides {pickles.brief(steps)} from {tensor.offset} on, "
            f"which is more than its storage of {storage.size} numbers."
        )
    if size == 0:
        try:
            return np.zeros(shape, storage.dtype)
        except ValueError as error:  # NumPy counts the axes that are not 0
            raise WeightsError(f"{name} is {pickles.brief(shape)}: {error}.") from None
    strides = [min(step, storage.size) * storage.itemsize for step in steps]  # of an axis of 1: any
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], shape, strides, writeable=False)
