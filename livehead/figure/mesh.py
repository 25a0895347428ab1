"""Triangle meshes: what is measured on them, and their files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from livehead.errors import ConfigError, SourceError
from livehead.frames import Image
from livehead.storage import replace_file

FloatArray: TypeAlias = npt.NDArray[np.float32]
FaceIndices: TypeAlias = npt.NDArray[np.int32]

MESH_SUFFIXES = (".glb", ".obj", ".ply")
"""The endings of the files that a mesh can be saved to."""


@dataclass(frozen=True, slots=True, eq=False)
class TriangleMesh:
    """``vertices`` [V, 3], x to the right, y up, z towards the viewer; ``faces`` [F, 3], counter-clockwise from
    outside; ``colours`` uint8 [V, 3] RGB, or none."""

    vertices: FloatArray
    faces: FaceIndices
    colours: Image | None = None

    def volume(self) -> float:
        """Return what the surface encloses, in cubed units of the vertices; negative where it is inside out."""
        return float(_signed_volumes(self).sum())

    def vertex_normals(self) -> FloatArray:
        """Unit normals of the vertices [V, 3], outwards: means of the faces', each by its area."""
        a, b, c = (self.vertices[self.faces[:, corner]] for corner in range(3))
        of_faces = np.cross(b - a, c - a)
        sums = np.zeros(self.vertices.shape, np.float64)
        for corner in range(3):
            for axis in range(3):
                sums[:, axis] += np.bincount(self.faces[:, corner], of_faces[:, axis], len(sums))
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        result: FloatArray = (sums / np.maximum(length, 1e-20)).astype(np.float32)
        return result

    def label_components(self) -> npt.NDArray[np.int32]:
        """The number of the connected part that each face belongs to [F], counted from 0."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        starts, ends = self.faces[:, [0, 1]].ravel(), self.faces[:, [1, 2]].ravel()
        edges = coo_array((np.ones(len(starts), bool), (starts, ends)), shape=(len(self.vertices),) * 2)
        _, labels = connected_components(edges, directed=False)
        result: npt.NDArray[np.int32] = labels[self.faces[:, 0]]
        return result

    def largest_component(self) -> TriangleMesh:
        """The connected part that encloses most, alone: no debris, however long, and no hollows."""
        part = self.label_components()
        best = int(np.argmax(np.bincount(part, _signed_volumes(self))))
        faces = self.faces[part == best]
        used, renumbered = np.unique(faces, return_inverse=True)
        colours = None if self.colours is None else self.colours[used]
        return replace(
            self, vertices=self.vertices[used], faces=renumbered.reshape(-1, 3).astype(np.int32), colours=colours
        )

    def save(self, path: Path) -> None:
        """Write ``path`` (``.glb``, ``.obj``, ``.ply``). Raises: ConfigError."""
        import trimesh

        check_mesh_path(path)
        solid = trimesh.Trimesh(self.vertices, self.faces, vertex_colors=self.colours, process=False)
        try:
            with replace_file(path, suffix=path.suffix.lower()) as partial:
                if path.suffix.lower() == ".glb":
                    solid.export(partial, tree_postprocessor=_set_matte_material)
                else:
                    solid.export(partial)
        except OSError as error:
            raise ConfigError(
                f"cannot write {path} ({error.strerror})", "free some space", subject=str(path)
            ) from error


def read_mesh(path: Path) -> TriangleMesh:
    """A mesh that ``TriangleMesh.save`` wrote, or another one of triangles. Raises: SourceError."""
    import trimesh

    if path.suffix.lower() not in MESH_SUFFIXES or not path.is_file():
        raise SourceError(f"there is no mesh file {path}", f"give one of {', '.join(MESH_SUFFIXES)}", subject=str(path))
    try:
        parts = trimesh.load_scene(path, process=False).geometry.values()
        (solid,) = (part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path} is damaged or not one mesh of triangles", "make it again", subject=str(path)
        ) from error
    look: Any = solid.visual
    colours = look.vertex_colors if look.kind == "vertex" else None
    if look.kind == "texture":  # so trimesh calls colours beside a material
        colours = look.vertex_attributes.get("color")
    return TriangleMesh(
        np.asarray(solid.vertices, np.float32),
        np.asarray(solid.faces, np.int32),
        None if colours is None else np.ascontiguousarray(colours[:, :3], np.uint8),
    )


def check_mesh_path(path: Path) -> None:
    """Check a mesh's file name. Raises: ConfigError unless ``path`` names one in a folder that exists."""
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise ConfigError(
            f"{path} is no mesh file", f"give a name that ends in {', '.join(MESH_SUFFIXES)}", subject=str(path)
        )
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {path.absolute().parent}", "create it first", subject=str(path))


def _signed_volumes(mesh: TriangleMesh) -> npt.NDArray[np.float64]:
    """Signed volume between each face and the origin [F]."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].astype(np.float64) for corner in range(3))
    result: npt.NDArray[np.float64] = np.einsum("fi,fi->f", a, np.cross(b, c)) / 6
    return result


def _set_matte_material(tree: dict[str, Any]) -> None:
    """glTF's default material is bare metal, which shows its colours badly: make it matt."""
    tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0
