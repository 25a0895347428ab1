#!/usr/bin/env python
"""Write the test vector of docs/motion-format.md from the idle motion of the drawn portrait.

    scripts/make_motion_vector.py tests/data

``motion_wire_v1.bin`` holds messages, each after its length (u16): a face, then its lips alone as a set of their own.
``motion_wire_v1.npz`` holds what has to come out: ``NAME.value``, ``NAME.depth``, ``NAME.confidence``, ``NAME.time_us``
and ``NAME.torso`` (nan where there is none) by the name of the set.
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from livehead.assembly.synthetic_performer import DRAWN_PORTRAIT, bundled_portrait
from livehead.motion.face.mesh import FACE_MESH
from livehead.motion.keypoints import Keypoints
from livehead.motion.synthesis.idle import IdleMotion
from livehead.protocol.motion_packets import MotionPacketDecoder, MotionPacketEncoder

MOTION_COUNT, INTERVAL_NS = 14, 130_000_000
UNSEEN_INDEX, NO_TORSO_INDEX = 5, 9  # moments in which nobody is seen, and in which the torso is not


def make_motions(source: Keypoints) -> list[Keypoints]:
    """Nearly two seconds with a sway and a blink."""
    idle = IdleMotion(source, seed=1)
    sent = [idle.motion_at(3_000_000_000 + number * INTERVAL_NS) for number in range(MOTION_COUNT)]
    sent[UNSEEN_INDEX] = replace(sent[UNSEEN_INDEX], confidence=np.zeros(1, np.float32))
    sent[NO_TORSO_INDEX] = replace(sent[NO_TORSO_INDEX], torso=None)
    return sent


def select_lips(face: Keypoints) -> Keypoints:
    """The points of the lips alone."""
    at = FACE_MESH.mouth.lips
    return replace(face, set="lips40", value=face.value[:, at], depth=face.depth[:, at], torso=None)


def encode_motions(sent: list[Keypoints]) -> tuple[list[bytes], dict[str, np.ndarray]]:
    writer = MotionPacketEncoder(sent[0], 1e9 / INTERVAL_NS)
    header = writer.header.pack()
    packets = [writer.encode(each) for each in sent]
    reader = MotionPacketDecoder(header)
    read = [reader.decode(packet) for packet in packets]
    name = sent[0].set
    nowhere = np.full((1, 3, 2), np.nan, np.float32)
    arrays = {
        f"{name}.value": np.concatenate([each.value for each in read]),
        f"{name}.depth": np.concatenate([each.depth for each in read]),
        f"{name}.confidence": np.concatenate([each.confidence for each in read]),
        f"{name}.time_us": np.array([each.captured_ns // 1000 for each in read]),
        f"{name}.torso": np.concatenate([nowhere if each.torso is None else each.torso for each in read]),
    }
    return [header, *packets], arrays


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sent = make_motions(bundled_portrait(DRAWN_PORTRAIT).motion)
    face, arrays = encode_motions(sent)
    mouth, more = encode_motions([select_lips(each) for each in sent])
    messages = [struct.pack("<H", len(each)) + each for each in (*face, *mouth)]
    (folder / "motion_wire_v1.bin").write_bytes(b"".join(messages))
    np.savez_compressed(folder / "motion_wire_v1.npz", **arrays, **more)
    return 0


if __name__ == "__main__":
    sys.exit(main())
