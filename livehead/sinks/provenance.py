"""Marks a video as an avatar's with a C2PA manifest, which any verifier of content credentials can read.

The manifest is signed (Ed25519) with a key of this installation, made together with its first video. It shows that a
video is as livehead wrote it, by which version and model, and when. No authority vouches for the key, so verifiers call
the signer unknown, but they can still tell that the video is unchanged. This needs ``c2pa-python``
(``pip install 'livehead[c2pa]'``).

https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from livehead import __version__
from livehead.environment import HOME_VARIABLE
from livehead.errors import ConfigError, SourceError
from livehead.signals import finish_file
from livehead.storage import OWNER_ONLY, replace_file, storage_folder, write_atomically
from livehead.untrusted_files import DamagedFileError, guard_parser, read_untrusted, set_aside

log = logging.getLogger(__name__)

INSTALL_REMEDY = "pip install 'livehead[c2pa]'"
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's term for media composed of captured pictures and pictures that a trained model made."""

_TOOL_NAME = "livehead"
_VALIDITY_YEARS = 10


@dataclass(frozen=True, slots=True)
class ProvenanceReport:
    """Holds what a video's manifest states, and whether it still holds.

    ``intact``: nothing was changed since the video was signed; otherwise ``why`` says what is wrong. ``tool``,
    ``model`` and ``when`` are the manifest's words. ``signer``: the certificate's serial number, made of its key's
    SHA-256, which tells installations apart; ``own``: it is this installation's.
    """

    intact: bool
    tool: str
    model: str
    when: str
    signer: str
    own: bool
    why: str = ""


def can_sign() -> bool:
    """Tell whether ``c2pa-python``, which writes manifests, is installed."""
    return importlib.util.find_spec("c2pa") is not None


class ManifestSigner:
    """Signs and verifies videos with this installation's key, kept in ``folder`` (by default in livehead's data)."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or storage_folder("data", "provenance")

    def sign(self, video: Path, model: str = "") -> None:
        """Write the manifest into ``video`` (MP4), whose pictures were drawn by ``model``.

        Raises: ConfigError when that fails; the video is then unchanged.
        """
        c2pa = _load_c2pa()
        key, chain = self._load_or_create_credentials()
        info = c2pa.C2paSignerInfo(alg=b"ed25519", sign_cert=chain, private_key=key, ta_url=None)
        manifest = _build_manifest(video.name, model)
        try:
            with (
                finish_file(),
                replace_file(video, suffix=video.suffix) as signed,
                c2pa.Signer.from_info(info) as signer,
                c2pa.Builder(manifest) as builder,
            ):
                builder.sign_file(str(video), str(signed), signer)
        except (c2pa.C2paError, OSError) as error:
            raise ConfigError(
                f"{video} could not be signed ({error})", "free some space", subject=str(video)
            ) from error
        finally:
            signed.unlink(missing_ok=True)

    def sign_if_possible(self, video: Path, model: str = "") -> None:
        """Sign ``video``, or leave it unsigned and log why."""
        if not can_sign():
            log.debug("recordings are not signed: %s", INSTALL_REMEDY)
            return
        try:
            self.sign(video, model)
        except ConfigError as error:
            log.warning("%s", error)

    def verify(self, video: Path) -> ProvenanceReport:
        """Read and check the manifest of ``video``. Raises: SourceError when it has none."""
        c2pa = _load_c2pa()
        try:
            with guard_parser(), c2pa.Reader(str(video)) as reader:
                return self._parse_report(reader.get_validation_state(), json.loads(reader.json()))
        except DamagedFileError as error:
            raise SourceError(
                f"{video} holds no content credentials",
                "only videos recorded with livehead[c2pa] or a similar program hold them",
                subject=str(video),
            ) from error

    def _parse_report(self, state: str | None, report: dict[str, Any]) -> ProvenanceReport:
        """Return what C2PA's JSON ``report`` says. Raises: any exception for what is none."""
        manifest = report["manifests"][report["active_manifest"]]
        action = _find_created_action(manifest)
        signer = str(manifest.get("signature_info", {}).get("cert_serial_number", ""))
        faults = [
            str(each.get("explanation") or each.get("code"))
            for each in report.get("validation_status", [])
            if each.get("code") != "signingCredential.untrusted"
        ]
        info = (manifest.get("claim_generator_info") or [{}])[0]
        return ProvenanceReport(
            intact=state in ("Valid", "Trusted") and not faults,
            tool=f"{info.get('name', '')} {info.get('version', '')}".strip(),
            model=str(action.get("parameters", {}).get("livehead.model", "")),
            when=str(action.get("when", "")),
            signer=signer,
            own=signer == self._own_serial_number(),
            why="; ".join(faults),
        )

    def _load_or_create_credentials(self) -> tuple[bytes, bytes]:
        """The key and the certificates (PEM), created on first use with a key that only its owner can read."""
        paths = self.folder / "key.pem", self.folder / "chain.pem"
        try:
            if not all(path.is_file() for path in paths) or not self._are_credentials_whole(*paths):
                self.folder.mkdir(parents=True, exist_ok=True)
                for path, data in zip(paths, _create_credentials(), strict=True):
                    write_atomically(path, data, mode=OWNER_ONLY)
            return paths[0].read_bytes(), paths[1].read_bytes()
        except OSError as error:
            raise ConfigError(
                f"cannot keep a key in {self.folder} ({error.strerror})", f"set {HOME_VARIABLE}"
            ) from error

    def _are_credentials_whole(self, key: Path, chain: Path) -> bool:
        """Tell whether both files can be used; those that cannot are set aside. Raises: OSError."""
        for path, parse in ((key, _parse_key), (chain, x509.load_pem_x509_certificates)):
            try:
                read_untrusted(path, parse)
            except DamagedFileError as error:
                log.warning("%s is damaged (%s): recordings are signed with a new key from now on", path, error)
                set_aside(path)
                return False
        return True

    def _own_serial_number(self) -> str:
        try:
            chain = read_untrusted(self.folder / "chain.pem", x509.load_pem_x509_certificates)
        except (OSError, DamagedFileError):
            return ""
        return str(chain[0].serial_number)


def _parse_key(content: bytes) -> object:
    return serialization.load_pem_private_key(content, None)


def _load_c2pa() -> Any:
    if not can_sign():
        raise ConfigError("c2pa-python is not installed", INSTALL_REMEDY)
    return importlib.import_module("c2pa")


def _build_manifest(title: str, model: str) -> dict[str, Any]:
    created: dict[str, Any] = {
        "action": "c2pa.created",
        "when": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": _TOOL_NAME, "version": __version__},
    }
    if model:
        created["parameters"] = {"livehead.model": model}
    return {
        "claim_generator_info": [{"name": _TOOL_NAME, "version": __version__}],
        "title": title,
        "format": "video/mp4",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def _find_created_action(manifest: dict[str, Any]) -> dict[str, Any]:
    """The action in ``manifest`` that says how the video was created."""
    for assertion in manifest.get("assertions", []):
        for action in assertion.get("data", {}).get("actions", []):
            if action.get("action") == "c2pa.created":
                found: dict[str, Any] = action
                return found
    return {}


def _create_credentials() -> tuple[bytes, bytes]:
    """A key with its certificate and that of an issuer, whose key is discarded, since C2PA takes none self-signed."""
    issuer_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    number = hashes.Hash(hashes.SHA256())
    number.update(key.public_key().public_bytes_raw())
    issuer, subject = _x509_name("livehead installation"), _x509_name("livehead recorder")
    root = (
        _certificate_builder(issuer, issuer, issuer_key.public_key(), x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_issuer=True), critical=True)
        .sign(issuer_key, None)
    )
    own = (
        _certificate_builder(subject, issuer, key.public_key(), int.from_bytes(number.finalize()[:19]))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_issuer=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, None)
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain, own.public_bytes(pem) + root.public_bytes(pem)


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, number: int
) -> x509.CertificateBuilder:
    begin = datetime.now(UTC) - timedelta(hours=1)
    return x509.CertificateBuilder(
        issuer, subject, key, number, begin, begin + timedelta(days=365 * _VALIDITY_YEARS)
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _x509_name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, _TOOL_NAME), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def _key_usage(*, is_issuer: bool) -> x509.KeyUsage:
    rest = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
    return x509.KeyUsage(
        digital_signature=not is_issuer,
        key_cert_sign=is_issuer,
        crl_sign=is_issuer,
        decipher_only=False,
        **dict.fromkeys(rest, False),
    )
