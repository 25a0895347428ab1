import numpy as np
import pytest

from livehead.figure.mannequin import RELAXED_POSE, MannequinPose, draw_mannequin


def test_in_its_t_pose_every_point_is_where_it_is_called():
    drawn = draw_mannequin(MannequinPose(), 200)
    rows, columns = np.nonzero(drawn.pose[..., 3])
    x, y = drawn.pose[rows, columns, 0], drawn.pose[rows, columns, 1]
    assert np.corrcoef(x, columns)[0, 1] > 0.9999
    assert np.corrcoef(y, rows)[0, 1] < -0.9999


def test_a_point_keeps_its_name_wherever_it_goes():
    still, moved = (draw_mannequin(stance, 200).pose for stance in (MannequinPose(), MannequinPose(left_arm=0.7)))
    hand = still[..., 0] > 0.93
    rows, _ = np.nonzero(hand)
    raised, _ = np.nonzero(moved[..., 0] > 0.93)
    assert raised.max() < rows.min() - 20


def test_from_behind_the_back_is_seen():
    front, back = (draw_mannequin(MannequinPose(yaw=turn), 200).pose for turn in (0, np.pi))
    chest = (100 - 15, 100)
    assert front[chest][2] > 0.5 > back[chest][2]


@pytest.mark.parametrize("stance", [MannequinPose(), RELAXED_POSE, MannequinPose(0.6, 1.2, 1.2, 0.4, 0.3)])
def test_it_fits_its_picture_and_pose_and_picture_agree(stance):
    drawn = draw_mannequin(stance, 128)
    assert drawn.pose.dtype == np.float32
    assert drawn.pose.min() >= 0
    assert drawn.pose.max() <= 1
    assert np.array_equal(drawn.pose[..., 3] > 0, drawn.image[..., 3] > 0)
    border = np.concatenate([drawn.pose[[0, -1], :, 3].ravel(), drawn.pose[:, [0, -1], 3].ravel()])
    assert not border.any()
