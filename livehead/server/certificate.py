"""Makes certificates for names without a domain and for private addresses, which no public authority certifies.

A root is made for one purpose, signs one certificate, and its key is thrown away: a person who trusts the root trusts
that certificate and no other that anybody could ever make.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from livehead.errors import ConfigError

VALIDITY_DAYS = 397
"""How many days a certificate is valid: systems refuse one that is valid for longer."""

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*", re.IGNORECASE)
_CLOCK_SKEW = timedelta(hours=1)  # a certificate is valid so much earlier, as clocks differ


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate in PEM: ``chain`` and ``key`` are for the server, ``root`` for those who are to trust it."""

    chain: bytes
    key: bytes
    root: bytes

    def write_pem_files(self, chain: Path, key: Path, root: Path) -> None:
        """Write the three files, ``key`` with mode 0600; no file is written over. Raises: ConfigError."""
        for path, data, mode in ((key, self.key, 0o600), (chain, self.chain, 0o644), (root, self.root, 0o644)):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                    file.write(data)
            except FileExistsError as error:
                raise ConfigError(f"{path} is there already", "remove it, or name another with --tls-cert") from error
            except OSError as error:
                raise ConfigError(f"cannot write {path} ({error.strerror})", "name another place") from error


def make_certificate(names: Sequence[str], now: datetime | None = None) -> ServerCertificate:
    """Make a certificate for a server with these host names and IP ``names``. Raises: ConfigError."""
    general_names = [_general_name(name) for name in names]
    if not general_names:
        raise ConfigError("a certificate needs a name", "give host names or addresses, as studio.local 192.168.1.5")
    begin = (now or datetime.now(UTC)) - _CLOCK_SKEW
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _distinguished_name(f"livehead at {names[0]}"[:64])
    root = (
        _certificate_builder(issuer, issuer, root_key.public_key(), begin)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    own = (
        _certificate_builder(_distinguished_name(names[0][:64]), issuer, key.public_key(), begin)
        .add_extension(x509.SubjectAlternativeName(general_names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return ServerCertificate(own.public_bytes(pem) + root.public_bytes(pem), plain, root.public_bytes(pem))


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer, subject, key, x509.random_serial_number(), begin, begin + timedelta(days=VALIDITY_DAYS)
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _distinguished_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if _HOST_NAME.fullmatch(name):
            return x509.DNSName(name.lower())
    raise ConfigError(f"{name!r} is no host name and no address", "give them as studio.local or 192.168.1.5")
