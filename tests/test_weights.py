"""Readers of weights: what torch.save wrote, and what nobody should have written."""

import contextlib
import encodings.cp437  # noqa: F401  zipfile imports it at its first file, which is no fault of that file
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxgan.interop import files, pickles
from jaxgan.interop.pickles import WeightsError

WEIGHTS = Path(__file__).parent / "weights"
FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])
NUMBERS = np.arange(24, dtype=np.float32)


# What torch.save wrote, by benchmarks/parity.py


@FORMS
def test_every_type_and_view_is_read_as_torch_wrote_it(form):
    found = files.read(WEIGHTS / f"state_{form}.pth")
    expected = {
        "whole": NUMBERS.reshape(2, 3, 4),
        "transposed": NUMBERS.reshape(4, 6).T,
        "part": NUMBERS[5:17:3],
        "double": np.float64([0.1, -0.0, np.inf]),
        "half": np.float16([1.5, -2.0]),
        "brain": np.asarray([[1.0, 3.0, -2.5]], ml_dtypes.bfloat16),
        "count": np.asarray(7),
        "bytes": np.uint8([0, 255]),
        "flags": np.asarray([True, False]),
        "none": np.zeros(0, np.float32),
    }
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name
    assert np.shares_memory(found["whole"], found["transposed"]) and not found["whole"].flags.writeable


@FORMS
def test_dicts_in_dicts_are_read_by_dotted_names_and_what_is_no_tensor_is_left_out(form):
    found = files.read(WEIGHTS / f"checkpoint_{form}.pth")
    inner = ["0.weight", "0.bias", *(f"1.{name}" for name in ("weight", "bias", "running_mean")),
             "1.running_var", "1.num_batches_tracked"]  # fmt: skip
    assert list(found) == [*(f"state_dict.{name}" for name in inner), "parameter", "optimizer.0.step"]
    np.testing.assert_array_equal(found["state_dict.0.weight"], [[0, 1]])
    np.testing.assert_array_equal(found["parameter"], [1, 1])
    assert list(files.under(found, "state_dict.")) == inner
    with pytest.raises(WeightsError, match=r"No name begins with 'module\.'; the first are \['state_dict"):
        files.under(found, "module.")


def test_safetensors_are_read_in_every_type(tmp_path):
    arrays = {dtype.__name__: np.asarray([[0, 1, 1]], dtype) for dtype in (*files.SAFETENSORS.values(),)}
    save_file(arrays, tmp_path / "a.safetensors")
    found = files.read(tmp_path / "a.safetensors")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes(), name


# What a file may ask for: nothing


class Evil:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def zipped(path, pickled, storages=(), **options):
    """A file as torch.save's, around any pickle."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, data in dict(storages).items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def legacy(path, pickled, keys=(), tail=b""):
    heads = (files.MAGIC, files.PROTOCOL, {"little_endian": True})
    parts = [*(pickle.dumps(head, 2) for head in heads), pickled, pickle.dumps(list(keys), 2), tail]
    path.write_bytes(b"".join(parts))
    return path


def value(thing):
    """The opcodes that put a value on the stack."""
    return pickletools.optimize(pickle.dumps(thing, 2))[2:-1]


def called(name, *arguments):
    return b"c" + name.replace(" ", "\n").encode() + b"\n(" + b"".join(arguments) + b"tR"


def tensor(shape=(2,), strides=(1,), offset=0, length=2, key="0", dtype="torch FloatStorage", name="w"):
    """The pickle of {name: a tensor}, put together by hand."""
    dtype = b"c" + dtype.replace(" ", "\n").encode() + b"\n"
    storage = b"(" + value("storage") + dtype + b"".join(map(value, (key, "cpu", length))) + b"tQ"
    numbers = map(value, (offset, shape, strides, False))
    made = called("torch._utils _rebuild_tensor_v2", storage, *numbers, called("collections OrderedDict"))
    return b"\x80\x02}" + value(name) + made + b"s."


TWO = struct.pack("<2f", 1, 2)


def test_a_tensor_put_together_by_hand_is_one(tmp_path):
    for path in (
        zipped(tmp_path / "a.pth", tensor(), {"0": TWO}),
        legacy(tmp_path / "b.pth", tensor(), ["0"], struct.pack("<q", 2) + TWO),
    ):
        assert files.read(path)["w"].tolist() == [1, 2]


def test_a_dict_that_python_2_wrote_as_a_list_of_its_items_is_one(tmp_path):
    item = b"](" + value("w") + tensor()[len(b"\x80\x02}" + value("w")) : -2] + b"e"
    pickled = b"\x80\x02" + called("collections OrderedDict", b"](" + item + b"e") + b"."
    assert files.read(zipped(tmp_path / "a.pth", pickled, {"0": TWO}))["w"].tolist() == [1, 2]


def test_numpys_archives_are_read_and_never_unpickled(tmp_path, capsys):
    np.savez_compressed(tmp_path / "a.npz", w=np.float16([1, 2]), b=np.zeros((0, 3)))
    found = files.read(tmp_path / "a.npz")
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        "w": (np.float16, (2,)), "b": (np.float64, (0, 3)),
    }  # fmt: skip
    np.savez(tmp_path / "b.npz", w=np.array([Evil(print, "run")], object))
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    for name in ("b.npz", "c.npz"):
        with pytest.raises(WeightsError, match=f"{name}: it is no .npz of plain arrays"):
            files.read(tmp_path / name)
    assert not capsys.readouterr().out


def test_an_archive_that_claims_more_than_any_weights_is_not_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", w=np.zeros(1000))
    monkeypatch.setattr(files, "LARGEST", 1000)
    with pytest.raises(WeightsError, match="claims 8,128 bytes"):
        files.read(tmp_path / "a.npz")


# Python tells a hook of whatever a file could do to the world. A hook stays, so it is told when to look.
EVENTS = {
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "exec", "compile", "import",
    "pickle.find_class", "os.remove", "os.rename", "os.mkdir", "socket.connect", "ctypes.dlopen",
}  # fmt: skip
heard: list[str] = []
looking = [False]


def hook(event, arguments):
    if looking[0] and (event in EVENTS or (event == "open" and arguments[1] not in ("r", "rb"))):
        heard.append(f"{event} {arguments}")


sys.addaudithook(hook)


def check_refused(path, match=None):
    """A file is refused by a short message that names it, and nothing was run, imported or written."""
    looking[0] = True
    try:
        with pytest.raises(WeightsError, match=match) as caught:
            files.read(path)
    finally:
        looking[0] = False
    assert not heard
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000 + len(str(path))


EVIL = {
    "REDUCE": lambda protocol: pickle.dumps(Evil(os.system, "touch pwned"), protocol),
    "eval": lambda protocol: pickle.dumps(Evil(eval, "open('pwned', 'w')"), protocol),
    "in a dict": lambda protocol: pickle.dumps({"w": Evil(subprocess.Popen, ["touch", "pwned"])}, protocol),
    "OBJ": lambda _: b"\x80\x02(cposix\nsystem\n" + value("touch pwned") + b"o.",
    "INST": lambda _: b"\x80\x02(" + value("touch pwned") + b"iposix\nsystem\n.",
    "NEWOBJ": lambda _: b"\x80\x02csubprocess\nPopen\n" + value(("touch pwned",)) + b"\x81.",
    "EXT1": lambda _: b"\x80\x02\x82\x01.",
    "a name alone": lambda _: b"\x80\x02cposix\nsystem\n.",
    "torch.load": lambda _: b"\x80\x02" + called("torch load", value("other.pth")) + b".",
    "a dotted name": lambda _: b"\x80\x04" + value("torch") + value("_utils.os.system") + b"\x93.",
    "BUILD": lambda _: b"\x80\x02ctorch\nFloatStorage\n" + value({"__class__": 1}) + b"b.",
    "a storage called": lambda _: b"\x80\x02" + called("torch FloatStorage", value(1 << 40)) + b".",
    "a dict called": lambda _: b"\x80\x02" + called("collections OrderedDict", value([["a"]])) + b".",
    "a string called": lambda _: b"\x80\x02" + value("collections.OrderedDict") + b")R.",
}


@FORMS
@pytest.mark.parametrize("kind", EVIL)
def test_what_a_malicious_file_says_is_refused_and_not_done(kind, form, tmp_path):
    for protocol in range(6):
        pickled = EVIL[kind](protocol)
        check_refused({"zip": zipped, "legacy": legacy}[form](tmp_path / "evil.pth", pickled))


def test_the_evil_is_evil_and_is_heard(tmp_path, monkeypatch):
    """Else the tests here would prove nothing."""
    monkeypatch.chdir(tmp_path)
    looking[0] = True
    pickle.loads(EVIL["eval"](2)).close()
    pickle.loads(EVIL["REDUCE"](2))
    looking[0] = False
    told = [each.split()[0] for each in heard]
    heard.clear()
    assert {"pickle.find_class", "compile", "exec", "open", "os.system"} <= {*told}
    assert (tmp_path / "pwned").exists()


# Sizes


CLAIMS = {
    "a shape beyond the storage": ({"shape": (3,)}, "which is more than its storage of 2 numbers"),
    "an absurd shape": ({"shape": (1 << 40, 1 << 40), "strides": (0, 0)}, "more than its storage"),
    "strides beyond the storage": ({"strides": (2,)}, r"\(2\) with strides \(2\) from 0 on"),
    "an offset beyond the storage": ({"offset": 1}, "from 1 on"),
    "a number repeated": ({"shape": (3,), "strides": (0,)}, "more than its storage"),
    "no numbers of absurd shape": ({"shape": (0, 1 << 62), "strides": (1, 1)}, "more than its storage"),
    "a negative size": ({"shape": (-1,)}, "A tensor is described by"),
    "a negative stride": ({"strides": (-1,), "offset": 1}, "A tensor is described by"),
    "a size that is no integer": ({"shape": (True,)}, "A tensor is described by"),
    "fewer strides than sizes": ({"strides": ()}, "A tensor is described by"),
    "too many axes": ({"shape": (1,) * 33, "strides": (1,) * 33}, "expected a tuple of up to 32"),
    "a storage longer than the file": ({"length": 1 << 60, "shape": (1 << 60,)}, "of another size"),
    "a storage shorter than its own": ({"length": 1, "shape": (), "strides": ()}, "of another size"),
    "a storage of another type": ({"dtype": "torch DoubleStorage"}, "of another size"),
    "a storage of no type": ({"dtype": "torch NoStorage"}, "asks for 'torch.NoStorage'"),
    "a storage of negative length": ({"length": -1}, "A storage is described by"),
    "a name too long": ({"name": "w" * 2000}, "too long names"),
}


@FORMS
@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_tensor_claims_is_held_against_its_storage(claim, form, tmp_path):
    options, match = CLAIMS[claim]
    if form == "zip":
        path = zipped(tmp_path / "a.pth", tensor(**options), {"0": TWO})
    else:
        path = legacy(tmp_path / "a.pth", tensor(**options), ["0"], struct.pack("<q", 2) + TWO)
    check_refused(path, match)


def test_compressed_and_overlapping_and_doubled_members_are_refused(tmp_path):
    zeros = bytes(1 << 24)
    large = {"length": 1 << 22, "shape": (1 << 22,)}
    options = {"compression": zipfile.ZIP_DEFLATED}
    check_refused(zipped(tmp_path / "a.pth", tensor(**large), {"0": zeros}, **options), "are compressed")
    path = zipped(tmp_path / "b.pth", tensor(), {"0": TWO})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data/0", TWO)
    check_refused(path, "share names")
    path = zipped(tmp_path / "c.pth", tensor(), {"0": bytes(5000)})
    with zipfile.ZipFile(path, "a") as archive:
        info = archive.getinfo("archive/data/0")
        for copy in range(9):
            archive.filelist.append(other := zipfile.ZipInfo(f"archive/data/{copy + 1}"))
            other.header_offset, other.file_size, other.compress_size, other.CRC = (
                info.header_offset, info.file_size, info.compress_size, info.CRC
            )  # fmt: skip
        archive._didModify = True
    check_refused(path, "larger than the archive")


def nested(depth, width=1):
    """A dict of dicts, each of which holds the one before it `width` times."""
    opcodes = b"\x80\x02}"
    for level in range(depth):
        inner = b"".join(
            value(str(key)) + b"h" + bytes([level]) + b"s" for key in range(width if level else 0)
        )
        opcodes += value(f"{level}") + b"}" + inner + b"q" + bytes([level + 1]) + b"s"
    return opcodes + b"."


@pytest.mark.parametrize(
    ("pickled", "match"),
    [
        (b"\x80\x02}q\x00" + value("self") + b"h\x00s.", "too deep"),
        (b"\x80\x02" + b"}" * 1, "damaged"),
        (b"\x80\x02" + b"h\x07.", "damaged"),
        (b"\x80\x02t.", "damaged"),
        (b"\x80\x02\x85.", "damaged"),
        (b"\x80\x02" + b"}0" * 3 + b".", "the opcode POP"),
        (b"\x80\x02" + b")" * (pickles.MOST + 1) + b".", "more than 1048576 opcodes"),
        (b"\x80\x02]K\x01a.", "expected a dict of tensors"),
        (b"\x80\x02}" + value((1, 2)) + b"K\x01s.", "has the key"),
    ],
)
def test_pickles_that_are_damaged_or_without_end_are_refused(pickled, match, tmp_path):
    check_refused(zipped(tmp_path / "a.pth", pickled), match)


def test_dicts_that_unfold_without_end_are_refused_at_once(tmp_path):
    check_refused(zipped(tmp_path / "a.pth", nested(7, width=200)), "hold too much")
    check_refused(zipped(tmp_path / "b.pth", nested(20)), "too deep")


@pytest.mark.parametrize("name", ["state_zip", "state_legacy", "checkpoint_legacy"])
def test_a_file_cut_or_damaged_anywhere_is_refused_or_read_without_a_fault(name, tmp_path):
    data, path = (WEIGHTS / f"{name}.pth").read_bytes(), tmp_path / "a.pth"
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        check_refused(path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = np.frombuffer(data, np.uint8).copy()
        damaged[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(WeightsError):
            files.read(path)


def test_other_files_are_named_as_such(tmp_path):
    path = tmp_path / "a.pth"
    for content in (b"", b"\x80", b"hello", np.random.default_rng(0).bytes(999), pickle.dumps([1, 2])):
        path.write_bytes(content)
        check_refused(path)
    check_refused(WEIGHTS / "module.pth", "asks for 'torch.nn.modules.container.Sequential'")
    check_refused(zipped(path, b""), "damaged")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/constants.pkl", "")
    check_refused(path, "without a pickle of tensors")
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "none.pth")


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"w": NUMBERS}, path)
    data = path.read_bytes()
    for content in (b"", data[:20], data[:-1], struct.pack("<Q", 1 << 60) + data[8:]):
        path.write_bytes(content)
        check_refused(path, "no whole .safetensors file")
