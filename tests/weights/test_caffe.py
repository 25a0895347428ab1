"""Caffe's files: what they hold, and nothing of what a hostile one wants."""

import struct

import numpy as np
import pytest
import torch

from livehead.errors import WeightsMismatchError
from livehead.weights.caffe import read_caffemodel
from livehead.weights.checkpoint_store import CheckpointStore
from livehead.weights.convert import to_official_keys


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, content):
    """A field of bytes, or of a whole number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array, *, old=False, double=False, split=False):
    sides = array.shape if not old else (1,) * (4 - array.ndim) + array.shape
    if old:
        head = b"".join(field(number, side) for number, side in enumerate(sides, start=1))
    else:
        head = field(7, field(1, b"".join(varint(side) for side in sides)))
    if double:
        return head + field(8, array.astype("<f8").tobytes())
    values = array.astype("<f4")
    if split:  # a value at a time, as writers that do not pack do
        return head + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in values.ravel())
    return head + field(5, values.tobytes())


def layer(name, *blobs):
    return field(100, field(1, name.encode()) + field(2, b"Convolution") + b"".join(field(7, each) for each in blobs))


def v1_layer(name, *blobs):
    return field(2, field(4, name.encode()) + b"".join(field(6, each) for each in blobs))


def caffemodel(tensors, write=layer, **how):
    """A model of tensors called ``layer.weight`` and ``layer.bias``."""
    layers = {}
    for key, value in tensors.items():
        layers.setdefault(key.rsplit(".", 1)[0], []).append(blob(np.asarray(value), **how))
    return field(1, b"a network") + b"".join(write(name, *blobs) for name, blobs in layers.items())


@pytest.fixture
def tensors():
    chance = np.random.default_rng(0)
    shapes = {"conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,), "prelu4_2.weight": (5,)}
    return {name: chance.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("how", [{}, {"old": True}, {"double": True}, {"split": True}], ids=str)
@pytest.mark.parametrize("write", [layer, v1_layer])
def test_weights_biases_and_slopes_are_read(tmp_path, tensors, write, how):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(tensors, write, **how) + field(100, field(1, b"relu1_1")) + field(77, b"unknown"))
    found = read_caffemodel(path)
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        torch.testing.assert_close(found[name], torch.from_numpy(value))


def test_a_file_cut_anywhere_but_between_layers_is_refused(tmp_path, tensors):
    whole = caffemodel(tensors)
    path = tmp_path / "net.caffemodel"
    first = whole.index(field(1, b"prelu4_2"))
    first_layer_whole = whole.rindex(varint(100 << 3 | 2), 0, first)
    for length in set(range(len(whole))) - {first_layer_whole}:
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsMismatchError, match=r"net\.caffemodel"):
            read_caffemodel(path)
    path.write_bytes(whole[:first_layer_whole])  # nothing tells that something is missing: the network's layout will
    assert read_caffemodel(path).keys() == {"conv1_1.weight", "conv1_1.bias"}


HUGE = 1 << 40
HOSTILE = {
    "empty": b"",
    "text": b"this is no model",
    "zeros": bytes(4096),
    "endless number": b"\xff" * 4096,
    "promises more than there is": varint(100 << 3 | 2) + varint(HUGE) + b"x",
    "vast shape": layer("a", field(7, field(1, varint(HUGE) * 3)) + field(5, b"\0" * 4)),
    "vast old shape": layer("a", b"".join(field(n, HUGE) for n in (1, 2, 3, 4)) + field(5, b"\0" * 4)),
    "vast shape without numbers": layer("a", field(7, field(1, varint(HUGE)))),
    "no numbers at all": layer("a", field(7, field(1, varint(0) + varint(HUGE)))),
    "many sides": layer("a", field(7, field(1, varint(1) * 100_000)) + field(5, b"\0" * 4)),
    "half a number": layer("a", field(7, field(1, varint(1))) + field(5, b"\0" * 6)),
    "layer twice": layer("a", blob(np.ones(2))) * 2,
    "three blobs": layer("a", *[blob(np.ones(2))] * 3),
    "long name": layer("a" * 100_000, blob(np.ones(2))),
    "groups": varint(100 << 3 | 3) * 100,
    "nothing in it": field(1, b"a network"),
    "a million fields": field(77, 1) * 1_000_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(content)
    with pytest.raises(WeightsMismatchError) as refusal:
        read_caffemodel(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300 + len(str(path))


@pytest.fixture(scope="module")
def body25(tmp_path_factory, listing):
    """``pose_iter_584000.caffemodel`` in its real layout, a constant in each tensor."""
    shapes = listing("openpose-body25-caffe")
    path = tmp_path_factory.mktemp("published") / "pose_iter_584000.caffemodel"
    path.write_bytes(
        caffemodel({key: torch.full(shape, i / 1000).numpy() for i, (key, shape) in enumerate(shapes.items())})
    )
    return path


def test_a_caffemodel_is_imported_and_kept(tmp_path, body25, listing):
    store = CheckpointStore(tmp_path / "weights")
    entry = store.import_files("openpose-body25", [body25])
    assert entry.networks == {"network": "openpose-body25"}
    assert "non-commercial" in entry.licence
    network = store.load("openpose-body25", ["network"])["network"]
    kept = to_official_keys("openpose-body25", network.state_dict())
    for i, key in enumerate(listing("openpose-body25-caffe")):
        assert kept[key].flatten()[-1] == torch.tensor(i / 1000)


def test_half_a_caffemodel_is_refused(tmp_path, body25):
    path = tmp_path / "half.caffemodel"
    path.write_bytes(body25.read_bytes()[:50_000_000])
    with pytest.raises(WeightsMismatchError, match="half.caffemodel"):
        CheckpointStore(tmp_path / "weights").import_files("openpose-body25", [path])
