"""Our CoNR gives what the published one gives, from the same weights."""

import pytest
import torch

from livehead.models.conr.build import ConrSizes, build_decoder, build_shader
from livehead.models.conr.network import ConrNetwork, mask_by_visibility
from livehead.models.conr.shader import ShaderSizes, encode_sheet
from livehead.models.grid import warp_pixels
from livehead.weights.convert import load_official

PARTS = ("udpparsernet", "target_pose_encoder", "shader", "rgbadecodernet")


def same(found, expected, atol=1e-4, rtol=1e-4):
    torch.testing.assert_close(found, expected, atol=atol, rtol=rtol)


def prefixed(fixture, prefix):
    return {key.removeprefix(prefix): value for key, value in fixture.items() if key.startswith(prefix)}


def network(published, gains):
    def load(part):
        onedim, gain = gains[part]
        return load_official(f"conr-{part}", published(f"conr-{part}", gain, onedim))

    return ConrNetwork(*(load(part) for part in PARTS))


@torch.inference_mode()
def test_a_grouped_warp(parity):
    fixture = parity("conr-warp")
    same(warp_pixels(fixture["x"], fixture["flow"]), fixture["out"], atol=1e-5)
    narrow = fixture["x"].contiguous(memory_format=torch.channels_last)
    same(warp_pixels(narrow, fixture["flow"]), fixture["out"], atol=1e-5)


def formula_input(uniform, name, shape, low):
    values = low + (1 - low) * (uniform(f"input:conr-tiny/{name}", int(torch.tensor(shape).prod())) + 1) / 2
    return torch.from_numpy(values).float().reshape(shape)


@torch.inference_mode()
def test_every_level_of_a_tiny_shader_with_three_views(parity, uniform):
    fixture = parity("conr-cinn-tiny")
    config = fixture["config"]
    sizes = ShaderSizes(
        target=tuple(config["target_feature_chns"]),
        features=tuple(config["feature_chns"]),
        messages=tuple(config["out_msgs_chn"]),
        locals=tuple(config["out_locals_chn"]),
        residuals=tuple(config["block_num"]),
        width=config["block_chn_num"][0],
    )
    shader, decoder = build_shader(ConrSizes(shader=sizes)).eval(), build_decoder(ConrSizes(shader=sizes)).eval()
    shader.load_state_dict(prefixed(fixture, "sd/"))
    decoder.load_state_dict(prefixed(fixture, "dec/"))
    sides = (4, 8, 16, 32, 64)
    target = [formula_input(uniform, f"target{i}", (1, sizes.target[i], s, s), -1) for i, s in enumerate(sides)]
    features = [formula_input(uniform, f"ref{i}", (1, 3, sizes.features[i], s, s), -1) for i, s in enumerate(sides)]
    reference = formula_input(uniform, "xref", (1, 3, 4, 128, 128), 0)
    levels = shader.run_levels(encode_sheet(reference, features), target)
    names = {"flow": 0, "msg": 1, "msgflow": 2, "loc": 3, "locflow": 4, "mask": 5}
    compared = 0
    for level, (output, _) in enumerate(levels):
        for view in range(3):
            for name, place in names.items():
                expected = fixture.get(f"L{level}V{view}_{name}")
                if expected is not None:
                    found = output[place][view : view + 1]
                    same(found.mean(dim=(2, 3)) if expected.ndim == 2 else found, expected)
                    compared += 1
    assert compared == sum(key.startswith("L") for key in fixture)
    last = levels[-1][1]
    same(last[:, :, ::2, ::2], fixture["last"])
    same(decoder(last), fixture["rgba"])


@torch.inference_mode()
def test_all_four_networks_at_their_published_size_with_two_views(parity, published):
    fixture = parity("conr-full")
    conr = network(published, fixture["gains"])
    colour, alpha = fixture["character_images"] / 255, fixture["character_masks"] / 255
    views = torch.cat([colour, alpha], dim=2)
    parsed = conr.parser(views[0, :, :3])
    same(parsed.dense_pose[:1], fixture["udp_raw_view0"])
    for i, feature in enumerate(parsed.features):
        same(feature.mean(dim=(2, 3))[None], fixture[f"parser_feat{i}_mean"])
    pose = torch.cat([fixture["pose_label"][:, :3], fixture["pose_mask"] / 255], dim=1)
    same(mask_by_visibility(pose)[:, :, ::4, ::4], fixture["x_target"])
    target = conr.encode_pose(pose)
    for i, feature in enumerate(target):
        same(feature.mean(dim=(2, 3)), fixture[f"pose_feat{i}_mean"])
    code = conr.encode_views(views)
    for level, (output, _) in enumerate(conr.shader.run_levels(code, target)):
        for view in range(2):
            step = 8 if level == 5 else 1
            same(output.flow[view : view + 1, :, ::step, ::step], fixture[f"L{level}V{view}_flow"])
            same(output.mask[view : view + 1].mean(dim=(2, 3)), fixture[f"L{level}V{view}_mask_mean"])
    drawn = conr.render(code, target)
    same(torch.cat([drawn[:, :3] * drawn[:, 3:], drawn[:, 3:]], dim=1), fixture["rgba"])
    same(conr(views, pose), drawn)


@torch.inference_mode()
def test_the_parser_of_a_picture(parity, published):
    fixture = parity("conr-udpdetector")
    parser = load_official("conr-udpparsernet", published("conr-udpparsernet", 0.8))
    same(parser.detect_dense_pose(fixture["image"] / 255), fixture["udp"])


@pytest.mark.parametrize("count", [1, 3])
@torch.inference_mode()
def test_views_may_come_in_any_order(count, tiny_conr):
    torch.manual_seed(1)
    views = torch.rand(1, count, 4, 128, 128)
    pose = torch.rand(1, 4, 128, 128)
    expected = tiny_conr(views, pose)
    assert expected.std() > 0.01
    same(tiny_conr(views.flip(1), pose), expected, atol=1e-3)
