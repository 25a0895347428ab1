import pytest
import torch

from livehead.errors import WeightsMismatchError
from livehead.training.dagan.perceptual_loss import PerceptualLoss, Vgg19, load_vgg19


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Vgg19().eval()


def test_layers_are_numbered_as_torchvision_numbers_them(network):
    keys = {key: tuple(value.shape) for key, value in network.state_dict().items() if key.endswith("weight")}
    assert list(keys) == [f"features.{n}.weight" for n in (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)]
    assert keys["features.19.weight"] == (512, 256, 3, 3)
    assert network.tap_indices == [1, 6, 11, 20, 29]


def test_it_sees_five_maps_after_relu(network):
    maps = network(torch.rand(1, 3, 32, 32))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (64, 32, 32),
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]
    assert all(each.min() >= 0 for each in maps)


def test_likeness_is_0_for_equal_pictures_and_has_a_slope_for_others(network):
    judge = PerceptualLoss(network, (1, 0.5))
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    assert judge(picture, picture.detach()) == 0
    judge(picture, torch.rand(1, 3, 32, 32)).backward()
    assert picture.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_users_file_is_read_without_its_classifier(network, tmp_path):
    path = tmp_path / "vgg.pth"
    torch.save(network.state_dict() | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    read = load_vgg19(path)
    assert torch.equal(read.features[28].weight, network.features[28].weight)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "resnet.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsMismatchError, match="no VGG-19"):
        load_vgg19(path)
