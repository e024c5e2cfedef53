"""A pickle's description of tensors, taken down without running it.

A pickle is a program, which Python's own reader would run. It is never called here: opcodes are read one by
one by a small machine that knows those which a state dict takes, and gives a meaning of its own to the few
names that one calls: nothing is imported, no attribute is set, nothing of another class is made. All else is
refused.
"""

import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

LONGEST = 1 << 24  # bytes of a pickle: a description of a tensor takes 200
OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
MOST = 1 << 20  # opcodes of a pickle: a description of a tensor takes 30


class WeightsError(ValueError):
    """A file of weights that is damaged, of another kind, not to be trusted, or of another network."""


class Storage(NamedTuple):
    """Numbers in a row, somewhere in the file: their type, the name of the place, and how many there are."""

    dtype: np.dtype[Any]
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a storage: from which number on, of what shape, and the steps along each axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


STORAGES: dict[str, Any] = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
    "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    numbers = (offset, *_sizes(shape), *_sizes(strides))
    fine = isinstance(storage, Storage) and len(shape) == len(strides)
    if not fine or any(type(number) is not int or number < 0 for number in numbers):
        raise WeightsError(f"A tensor is described by {brief((storage, offset, shape, strides))}.")
    return Tensor(storage, offset, shape, strides)


def _sizes(sizes: Any) -> tuple[Any, ...]:
    """A tensor's shape or strides, of as many axes as NumPy knows at most."""
    if type(sizes) is not tuple or len(sizes) > 32:
        raise WeightsError(f"A tensor's sizes are {brief(sizes)}, expected a tuple of up to 32.")
    return sizes


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise WeightsError(f"A parameter is made of {brief(tensor)}, expected a tensor.")
    return tensor


def _ordered(items: Any = None) -> dict[Any, Any]:
    """A dict; of Python 2 made of a list of [key, value], which is used up, so that it costs but once."""
    if items is None:
        return {}
    if type(items) is not list or any(type(item) is not list or len(item) != 2 for item in items):
        raise WeightsError(f"A dict is made of {brief(items)}, expected a list of [key, value].")
    described = {_key(key): value for key, value in items}
    items.clear()
    return described


def _key(key: Any) -> Any:
    if type(key) not in (str, int):  # the hash of nested tuples can take for ever
        raise WeightsError(f"A dict has the key {brief(key)}, expected a string or an integer.")
    return key


# What the names that a state dict calls mean here, and the fewest and most arguments that they take. The
# names of storages, of which only the type is told, are not called.
CALLS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "torch._utils._rebuild_tensor": (_tensor, 4, 4),
    "torch._utils._rebuild_tensor_v2": (_tensor, 6, 7),
    "torch._utils._rebuild_parameter": (_parameter, 3, 3),
    "torch.Size": (_sizes, 1, 1),
    "collections.OrderedDict": (_ordered, 0, 1),
}
NAMES = {*CALLS, *(f"torch.{name}" for name in STORAGES)}


class Name(str):
    """One of `NAMES`, where a pickle has it."""


def describe(file: BytesIO) -> Any:
    """What a pickle describes: numbers, strings, dicts, lists, tuples and `Tensor`s.

    Args:
      file: bytes from where the pickle begins; it is left where the pickle ends.

    Raises:
      WeightsError: the pickle is damaged, too long, or asks for anything but tensors.
    """
    machine = _Machine()
    try:
        for _ in range(MOST):
            opcode = OPCODES[file.read(1).decode("latin-1")]
            if opcode.name == "STOP":
                (described,) = machine.stack
                return described
            machine.step(opcode, file)
    except WeightsError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise WeightsError(f"The pickle is damaged: {brief(f'{error!r}')}.") from None
    raise WeightsError(f"The pickle has more than {MOST} opcodes.")


def brief(value: Any) -> str:
    """A value in at most 100 characters, however large it is."""
    text = f"{value!r}" if isinstance(value, str | bytes | int | float | None) else _outline(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _outline(value: Any) -> str:
    if type(value) not in (tuple, list):
        return type(value).__name__
    parts = (f"{part}" if type(part) is int else type(part).__name__ for part in value[:8])
    return f"({', '.join(parts)})"


class _Machine:
    """The stack, the marks in it and the memo of a pickle that is read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}

    def step(self, opcode: pickletools.OpcodeInfo, file: BytesIO) -> None:
        """Takes one opcode in; what follows it is read only if it is one of ours."""
        name, reader = opcode.name, opcode.arg.reader if opcode.arg else lambda _: None
        if name in PUSHED:
            self.stack.append(PUSHED[name](reader(file)))
        elif name == "GLOBAL":  # whose reader takes a backslash for the start of an escape
            self.name(".".join(file.readline().decode().removesuffix("\n") for _ in range(2)))
        elif name in DONE:
            DONE[name](self, reader(file))
        else:
            raise WeightsError(
                f"The pickle has the opcode {name}, which no state dict needs: it is not read. Ask for the "
                "weights as .safetensors, or as a state dict saved by torch.save."
            )

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def taken(self) -> list[Any]:
        """What lies above the newest mark, which goes."""
        above, self.stack = self.stack, self.marks.pop()
        return above

    def tuple_of(self, count: int) -> None:
        """The last `count` values become a tuple."""
        if len(self.stack) < count:
            raise IndexError("a tuple of more than there is")
        parts = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        self.stack.append(tuple(parts))

    def tuple_to_mark(self, _: Any) -> None:
        parts = self.taken()
        self.stack.append(tuple(parts))

    def append(self, parts: list[Any]) -> None:
        _expect(self.stack[-1], list).extend(parts)

    def set_items(self, parts: list[Any]) -> None:
        target = _expect(self.stack[-1], dict)
        for key, value in zip(parts[::2], parts[1::2], strict=True):
            target[_key(key)] = value

    def two(self) -> list[Any]:
        return [self.stack.pop(), self.stack.pop()][::-1]

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def recall(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def name(self, dotted: str) -> None:
        if dotted not in NAMES:
            raise WeightsError(
                f"The pickle asks for {brief(dotted)}, which is no part of a state dict: it is not run. Ask "
                "for the weights as .safetensors, or as a state dict saved by torch.save."
            )
        self.stack.append(Name(dotted))

    def name_on_stack(self, _: Any) -> None:
        module, name = self.two()
        self.name(f"{_expect(module, str)}.{_expect(name, str)}")

    def call(self, _: Any) -> None:
        function, arguments = self.two()
        if type(function) is not Name or function not in CALLS:
            raise WeightsError(f"The pickle calls {brief(function)}, which is nothing to call.")
        meaning, least, most = CALLS[function]
        if not least <= len(_expect(arguments, tuple)) <= most:
            raise WeightsError(f"The pickle calls {function} with {len(arguments)} arguments.")
        self.stack.append(meaning(*arguments))

    def build(self, _: Any) -> None:
        """Attributes, which torch gives a state dict to hold its version: they are left out."""
        attributes = self.stack.pop()
        _expect(attributes, dict), _expect(self.stack[-1], dict)

    def storage(self, _: Any) -> None:
        """('storage', type, key, device, length), and from older files None."""
        found = _expect(self.stack.pop(), tuple)
        if len(found) not in (5, 6):
            raise WeightsError(f"A storage is described by {brief(found)}.")
        kind, dtype, key, _, length, *views = found
        known = type(dtype) is Name and dtype.removeprefix("torch.") in STORAGES
        if kind != "storage" or not known or type(key) is not str or type(length) is not int or length < 0:
            raise WeightsError(f"A storage is described by {brief((kind, dtype, key, length))}.")
        if views and views[0] is not None:
            raise WeightsError("A storage is a part of another, as torch before 0.4 wrote it: save it anew.")
        self.stack.append(Storage(np.dtype(STORAGES[dtype.removeprefix("torch.")]), key, length))


def _expect(value: Any, kind: Any) -> Any:
    if type(value) is not kind:
        raise WeightsError(f"The pickle has {brief(value)} where a {kind.__name__} is expected.")
    return value


PUSHED: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {}, "EMPTY_LIST": lambda _: [], "EMPTY_TUPLE": lambda _: (),
} | dict.fromkeys(
    ["BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
     "BINSTRING", "SHORT_BINSTRING"], lambda value: value,
)  # fmt: skip
DONE: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": _Machine.mark,
    "TUPLE": _Machine.tuple_to_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.taken()),
    "SETITEM": lambda machine, _: machine.set_items(machine.two()),
    "SETITEMS": lambda machine, _: machine.set_items(machine.taken()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}
