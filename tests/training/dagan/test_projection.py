import torch

from livehead.training.dagan import projection


def close(found, expected, rtol=1e-4):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=rtol)


def test_the_way_from_disparity_to_another_frame_is_the_published_one(parity):
    fixture = parity("dagan-depthstage")
    distance = projection.disparity_to_depth(fixture["disp"])
    close(distance.scaled, fixture["scaled_disp"])
    close(distance.depth, fixture["depth"])
    pose = fixture["axisangle"][:, 0], fixture["translation"][:, 0]
    motion = projection.rigid_transform_matrix(*pose)
    close(motion, fixture["T"])
    close(projection.rigid_transform_matrix(*pose, invert=True), fixture["T_inv"])
    points = projection.back_project_depth(distance.depth, fixture["K_after"])
    close(points, fixture["cam_points"])
    places = projection.project_points(points, fixture["K_after"], motion, 16, 16)
    close(places, fixture["pix_coords"])
    warped = projection.sample_view(fixture["im_source"], places)
    close(warped, fixture["warped"])
    close(projection.ssim_error(warped, fixture["im_target"]), fixture["ssim"])
    close(projection.photometric_error(warped, fixture["im_target"]), fixture["reprojection"])


def test_roughness_is_the_published_one(parity):
    fixture = parity("dagan-depthstage")
    close(projection.edge_aware_smoothness(fixture["disp"], fixture["im_target"]), fixture["smooth"])


def test_a_way_there_and_back_ends_where_it_began():
    torch.manual_seed(0)
    pose = torch.randn(3, 3), torch.randn(3, 3)
    both = projection.rigid_transform_matrix(*pose, invert=True) @ projection.rigid_transform_matrix(*pose)
    close(both, torch.eye(4).expand(3, 4, 4))


def test_a_camera_that_stands_still_sees_every_pixel_where_it_was():
    intrinsics = torch.tensor([[[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]])
    points = projection.back_project_depth(torch.rand(1, 1, 16, 16) + 1, intrinsics)
    places = projection.project_points(points, intrinsics, torch.eye(4)[None], 16, 16)
    close(places[0, 0, :, 0], torch.linspace(-1, 1, 16))
