"""One face is followed through successive pictures: the largest at first, and then the same person's.

A person is known again by place, size and looks. Others in the picture are counted and ignored, also while the person
is away for a moment. A cut to another shot, another person's face in the place of the followed one, or an absence of
more than two seconds ends it: the next person gets a new number, by which a new neutral face is looked for.
"""

from __future__ import annotations

import numpy as np

from livehead.frames import Image
from livehead.motion.keypoints import Array, FaceSighting, to_pixels
from livehead.perception.face_appearance import FaceMemory, describe_face, eyes_and_mouth
from livehead.perception.face_boxes import FaceBox, FaceSearch, square_about
from livehead.perception.mesh_graph import FaceMeshGraph
from livehead.perception.pixel_square import PixelSquare
from livehead.perception.shot_change import ShotChangeDetector

_FRAME_NS = 33_333_333  # pictures that come without their times are taken as thirty a second
_ABSENCE_NS = 2_000_000_000  # who was away for longer is a new person, unless he looks the same
_BLIND_TRUST_S = 1.5  # rest of that time, up to which a face alone in the person's place needs no likeness
_SURVEY_FRAMES = 30  # from one count of the faces to the next
_CHECK_FRAMES = 10  # from one comparison of looks to the next
_LIKE, _UNLIKE = 0.6, 0.45  # similarity from which a face is the person's, and below which it is another's
_SUDDEN_UNLIKE = 0.75  # similarity to the frame before, below which the face has been replaced if it also jumped
_UNLIKE_CHECKS = 3  # comparisons in a row that must fail before a face that moved smoothly is another's
_MAX_SHIFT, _MAX_GROWTH = 1.0, 1.6  # of a face that comes back: in sides of its box, and as a ratio
_JUMP_SHIFT, _JUMP_GROWTH = 0.3, 1.25  # of one frame, in sides and as a ratio: more than heads do
_REFRAMED_SHIFT, _REFRAMED_GROWTH = 0.6, 1.35  # by which a cut shows the same person anew, in sides and as a ratio
_WINDOW_RATIO = 4.0  # side of the part in which a far face is followed, in sides of its box
_FAR_SHARE = 0.16  # side of a far face over the longer side of the picture, and of its window likewise
_WINDOW_MARGIN = 0.22  # share of the window that is left about the middle of the face


class FaceFollower:
    """Follows one face with the graph ``mesh``. For one thread; ``close`` it."""

    def __init__(self, mesh: FaceMeshGraph, confidence: float) -> None:
        self._mesh = mesh
        self._search = FaceSearch(confidence)
        self._cuts = ShotChangeDetector()
        self._person: _FollowedPerson | None = None
        self._window: PixelSquare | None = None
        self._following = False
        self._forget_requested = False
        self._performer = 0
        self._face_count = 0
        self._now_ns = 0
        self._frames = 0
        self._refusals = 0

    @property
    def sighting(self) -> FaceSighting:
        """Whose face the newest one is, and how many were in the picture."""
        return FaceSighting(self._performer, self._face_count)

    def forget_person(self) -> None:
        """Take the largest face next, as another person's; callable from any thread."""
        self._forget_requested = True

    def close(self) -> None:
        """Free the detectors; the graph is the caller's."""
        self._search.close()

    def follow(self, image: Image, captured_ns: int) -> Array | None:
        """Return the mesh [478, 3] of the followed face in the next picture, in coordinates of its square, or None."""
        self._now_ns = captured_ns if captured_ns > self._now_ns else self._now_ns + _FRAME_NS
        self._frames += 1
        cut = self._cuts.is_cut(image)
        if self._forget_requested:
            self._forget_requested, self._person = False, None
        if cut or self._person is None:
            self._stop_following()
        if not self._following:
            return self._take_face(image, cut=cut)
        if self._frames % _SURVEY_FRAMES == 0:
            self._count_faces(image)
        return self._keep_face(image, self._mesh.detect(image, self._window))

    def _stop_following(self) -> None:
        if self._following:
            self._mesh.reset()
        self._following, self._window = False, None

    def _keep_face(self, image: Image, faces: list[Array]) -> Array | None:
        """Take the mesh of the next frame, if it is still the person's."""
        person = self._person
        if not faces or person is None:
            self._following, self._window = False, None
            return None
        box = _box_about(faces[0], image)
        jumped = person.has_jumped(box)
        if jumped or self._frames % _CHECK_FRAMES == 0:
            look = describe_face(image, box.landmarks)
            if person.is_replaced(look, jumped=jumped, alone=self._face_count == 1):
                self._stop_following()
                return self._take_face(image, cut=jumped)
        person.update(box, self._now_ns)
        self._move_window(box, image)
        return faces[0]

    def _take_face(self, image: Image, *, cut: bool) -> Array | None:
        """Look for the person, or, where there is none any more, for the largest face."""
        person = self._person
        away = person is None or self._now_ns - person.seen_ns > _ABSENCE_NS
        boxes = self._search.find(image, None if person is None or away or cut else person.box)
        if self._refusals > len(boxes):  # what was found near is no face: look on
            boxes = self._search.look_further(image) or boxes
        self._face_count = len(boxes)
        if not boxes:
            return None
        looks = [describe_face(image, box.landmarks) for box in boxes]
        trust_ns = 0 if away or cut or person is None else _ABSENCE_NS - (self._now_ns - person.seen_ns)
        known = None if person is None else person.find_self(boxes, looks, trust_ns * 1e-9)
        if known is None and not (cut or away):
            return None  # others do not count as long as the person may come back
        chosen = self._refusals % len(boxes) if known is None else known
        face = self._lay_mesh(image, boxes, chosen)
        if face is None:
            self._refusals += 1
            return None
        self._refusals, box = 0, _box_about(face, image)
        if person is None or known is None or (cut and person.is_reframed(box)):
            self._performer += 1
            self._person = person = _FollowedPerson(box, describe_face(image, box.landmarks), self._now_ns)
        person.update(box, self._now_ns)
        self._following = True
        self._move_window(box, image)
        return face

    def _lay_mesh(self, image: Image, boxes: list[FaceBox], chosen: int) -> Array | None:
        """Return the mesh of the chosen box; the others are hidden from the graph until it follows the face."""
        box, height, width = boxes[chosen], *image.shape[:2]
        others = boxes[:chosen] + boxes[chosen + 1 :]
        is_far = box.side < _FAR_SHARE * max(height, width)
        self._window = square_about(box, _WINDOW_RATIO, width, height) if is_far else None
        faces = self._mesh.detect(_mask_other_faces(image, others, box), self._window)
        if faces and box.overlap(_box_about(faces[0], image)) > 0.3:
            return faces[0]
        self._mesh.reset()
        self._window = None
        return None

    def _move_window(self, box: FaceBox, image: Image) -> None:
        """Keep the face in the middle of its window; the whole picture is the window of a near face."""
        window, height, width = self._window, *image.shape[:2]
        if window is None:
            return
        if box.side > 1.3 * _FAR_SHARE * max(height, width):
            self._window = None
        else:
            low, high = (box.center - [window.left, window.top]) / window.side, box.side / window.side
            wanted = square_about(box, _WINDOW_RATIO, width, height)
            central = bool((low > _WINDOW_MARGIN).all() and (low < 1 - _WINDOW_MARGIN).all())
            if wanted == window or (central and _FAR_SHARE < high < 0.4):
                return
            self._window = wanted
        self._mesh.reset()  # the graph knows the place of the face in the old window only

    def _count_faces(self, image: Image) -> None:
        person = self._person
        others = [box for box in self._search.find_near(image) if person is None or box.overlap(person.box) < 0.3]
        self._face_count = len(others) + 1


class _FollowedPerson:
    """The person who is followed: where the face was seen last, and what it looks like."""

    def __init__(self, box: FaceBox, look: Array, now_ns: int) -> None:
        self.box = box
        self.seen_ns = now_ns
        self._memory = FaceMemory(look)
        self._last_look = look
        self._unlike_checks = 0

    def update(self, box: FaceBox, now_ns: int) -> None:
        """Take the place of the face in the newest picture."""
        self.box, self.seen_ns = box, now_ns

    def has_jumped(self, box: FaceBox) -> bool:
        """Tell whether ``box`` is too far from the last one, or too different in size, for one frame."""
        return self._shift(box) > _JUMP_SHIFT or self._growth(box) > _JUMP_GROWTH

    def is_reframed(self, box: FaceBox) -> bool:
        """Tell whether a cut to ``box`` shows the person from elsewhere, so that the old neutral is of no use."""
        return self._shift(box) > _REFRAMED_SHIFT or self._growth(box) > _REFRAMED_GROWTH

    def is_replaced(self, look: Array, *, jumped: bool, alone: bool) -> bool:
        """Tell whether ``look`` is another person's, and remember it if it is not.

        Nobody takes the place of a face unseen while it is ``alone`` in the picture, however it is contorted.
        """
        last, self._last_look = self._last_look, look
        similarity = self._memory.similarity(look)
        if jumped and max(similarity, float(last @ look)) < _SUDDEN_UNLIKE:
            return True
        self._unlike_checks = self._unlike_checks + 1 if similarity < _UNLIKE and not alone else 0
        if similarity > _LIKE or alone:
            self._memory.remember(look)
        return self._unlike_checks >= _UNLIKE_CHECKS

    def find_self(self, boxes: list[FaceBox], looks: list[Array], trust_s: float) -> int | None:
        """Return the number of the box that is this person's, or None.

        Looks decide; less will do at the person's place, for ``trust_s`` more seconds, and just after the face was lost
        any face that is alone there.
        """
        if len(boxes) == 1 and trust_s > _BLIND_TRUST_S and self._is_near(boxes[0]):
            return 0
        best, best_score = None, 0.0
        for index, (box, look) in enumerate(zip(boxes, looks, strict=True)):
            score, near = self._memory.similarity(look), self._is_near(box)
            if score > (_UNLIKE if near and trust_s > 0 else _LIKE) and score + 0.2 * near > best_score:
                best, best_score = index, score + 0.2 * near
        return best

    def _is_near(self, box: FaceBox) -> bool:
        return self._shift(box) < _MAX_SHIFT and self._growth(box) < _MAX_GROWTH

    def _shift(self, box: FaceBox) -> float:
        return float(np.linalg.norm(box.center - self.box.center)) / max(self.box.side, 1e-6)

    def _growth(self, box: FaceBox) -> float:
        sides = sorted((max(box.side, 1e-6), max(self.box.side, 1e-6)))
        return sides[1] / sides[0]


def _box_about(face: Array, image: Image) -> FaceBox:
    """Return the box of a mesh [478, 3], from brows to chin as the detectors draw it."""
    height, width = image.shape[:2]
    points = to_pixels(face[:468, :2], width, height)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    top += 0.2 * (bottom - top)  # the forehead
    return FaceBox(float(left), float(top), float(right), float(bottom), eyes_and_mouth(points))


def _mask_other_faces(image: Image, boxes: list[FaceBox], keep: FaceBox) -> Image:
    """``image`` with ``boxes`` painted grey, except where ``keep`` is, so that the graph finds only that face."""
    if not boxes:
        return image
    hidden = image.copy()
    for box in boxes:
        hidden[max(int(box.top), 0) : max(int(box.bottom), 0), max(int(box.left), 0) : max(int(box.right), 0)] = 127
    rows = slice(max(int(keep.top), 0), max(int(keep.bottom), 0))
    columns = slice(max(int(keep.left), 0), max(int(keep.right), 0))
    hidden[rows, columns] = image[rows, columns]
    return hidden
