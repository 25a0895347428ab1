"""The addresses under which a server is reached, for the person who started it.

A server that listens on every address of its machine is reached under each of them, but not under ``0.0.0.0``.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

import ifaddr
from cryptography import x509

from livehead.errors import ConfigError

_CONTAINER_BRIDGES = ("docker", "br-", "veth", "virbr", "lxc", "podman", "cni")  # only their own machines use them
_PROBE_ADDRESS = ("192.0.2.1", 9)  # of nobody (RFC 5737); nothing is sent to it


def reachable_hosts(host: str, certificate: Path | None = None) -> list[str]:
    """Host names and addresses that reach a server which listens on ``host``, the likeliest first.

    Names of its ``certificate`` (PEM) come first, since browsers warn of others. Raises: ConfigError.
    """
    named = [] if certificate is None else certificate_hosts(certificate)
    if _is_loopback(host):
        return ["localhost"]
    if not _is_wildcard(host):
        return [host] if host in named else [*(name for name in named if not _is_address(name)), host]
    here = list_machine_addresses(ipv6=":" in host)
    elsewhere = {name for name in named if _is_address(name) and name not in here}
    found = [name for name in named if name not in elsewhere] + [each for each in here if each not in named]
    return found or ["localhost"]  # without a network


def certificate_hosts(certificate: Path) -> list[str]:
    """The host names and addresses that a certificate is for, without patterns. Raises: ConfigError."""
    try:
        leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot use {certificate} ({error})", "give a PEM certificate") from error
    hosts = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return [name for name in hosts if "*" not in name and not _is_loopback(name)]


def list_machine_addresses(*, ipv6: bool = False) -> list[str]:
    """The addresses of this machine that others may reach; the one that leads outside comes first."""
    found = []
    for adapter in ifaddr.get_adapters():
        if adapter.nice_name.startswith(_CONTAINER_BRIDGES):
            continue
        for each in adapter.ips:
            address = ipaddress.ip_address(str(each.ip if each.is_IPv4 else each.ip[0]))
            usable = not (address.is_loopback or address.is_link_local or address.is_unspecified)
            if usable and (ipv6 or address.version == 4) and str(address) not in found:
                found.append(str(address))
    outward = _outward_address()
    return sorted(found, key=lambda address: (address != outward, ":" in address))


def format_url(host: str, port: int, *, tls: bool, token: str = "") -> str:
    """The address to open in a browser. The token is behind ``#``, a part that browsers send to no server."""
    name = f"[{host}]" if ":" in host else host
    return f"http{'s' if tls else ''}://{name}:{port}/" + (f"#token={token}" if token else "")


def describe_urls(hosts: Sequence[str], port: int, *, tls: bool, token: str = "") -> list[str]:
    """What to tell the person who serves: a line for the address to open, and one for each other."""
    urls = [format_url(host, port, tls=tls, token=token) for host in hosts]
    return [f"open {urls[0]}", *(f"  or {url}" for url in urls[1:])]


def _outward_address() -> str:
    """The address of this machine that packets to the outside carry; empty when there is no way outside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_PROBE_ADDRESS)
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
