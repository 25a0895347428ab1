import pytest
import torch

from livehead.weights.checkpoint_store import CheckpointStore


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "weights")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, published):
    """The layout of ``DaGAN_vox_adv_256.pth.tar``, saved from several GPUs, optimisers beside the networks."""
    path = tmp_path_factory.mktemp("published") / "DaGAN_vox_adv_256.pth.tar"
    wrapped = {
        name: {f"module.{key}": value for key, value in published(listing, 0.8).items()}
        for name, listing in (
            ("generator", "dagan-generator-depthaware-kp15"),
            ("kp_detector", "dagan-kpdetector-rgbd-kp15"),
            ("discriminator", "dagan-discriminator-kp15"),
        )
    }
    moments = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 2e-4, "params": [0]}]}
    torch.save(wrapped | {"optimizer_generator": moments, "epoch": 99}, path)
    return path


@pytest.fixture(scope="session")
def depth_files(tmp_path_factory, published):
    """``encoder.pth`` with its three scalars and its classifier, and ``depth.pth``."""
    folder = tmp_path_factory.mktemp("weights_19")
    extras = {"height": 256, "width": 256, "use_stereo": False}
    torch.save(published("dagan-depth18-encoder") | extras, folder / "encoder.pth")
    torch.save(published("dagan-depth18-decoder", 0.7), folder / "depth.pth")
    return [folder / "encoder.pth", folder / "depth.pth"]
