"""The performer's face at rest as far as one picture of him tells, so that a still can move an avatar.

Relative motion needs a neutral face, and a still shows only what the face does. The mean of many neutral faces stands
in for it, with the performer's proportions, where the performer's head is, and looking ahead.
"""

from __future__ import annotations

import numpy as np

from livehead.motion.face.head import HeadMotion, fit_head_motion, head_pivot_of
from livehead.motion.face.mean_face import load_mean_face
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Keypoints, mesh_keypoints
