"""`zring certs`: an authority and certificates for tests and small clusters, made by openssl."""

import ipaddress
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from node.config import NAME_CHARACTERS, NAME_LENGTH_MAX

AUTHORITY = "ca"
DAYS = 825
"""More is refused by some clients for certificates of servers."""
CURVE = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--node", "nodes", multiple=True,
    help="NAME or NAME=HOST,HOST: a node and the addresses others reach it by; repeatable.",
)  # fmt: skip
@click.option("--client", "clients", multiple=True, help="Name of a client; repeatable.")
@click.option("--days", type=click.IntRange(min=1), default=DAYS, show_default=True)
def certs(folder: Path, nodes: tuple[str, ...], clients: tuple[str, ...], days: int) -> None:
    """Make certificates in FOLDER: of an authority, of nodes, of clients.

    The authority (ca.pem, ca-key.pem) is made when the folder has none and used again otherwise.
    Each node and client gets NAME.pem and NAME-key.pem; files that exist are left alone. A node's
    certificate names the node, which mutual TLS asks for, and its addresses; 127.0.0.1, ::1 and
    localhost are among them. Keep ca-key.pem away from the nodes: whoever has it makes members.

    \b
    Examples:
      zring certs certs --node sw=10.0.0.1 --node se=10.0.0.2,se.example.org --client alice
    """
    if shutil.which("openssl") is None:
        raise click.ClickException(
            "the program openssl is not installed and makes the certificates; install the package "
            "openssl, or bring certificates of your own authority"
        )
    wanted = [(_name(text.partition("=")[0]), _hosts(text), True) for text in nodes]
    wanted += [(_name(name), (), False) for name in clients]
    names = [name for name, _, _ in wanted]
    if len({*names, AUTHORITY}) != len(names) + 1:
        raise click.UsageError(
            f"a name is given twice, or is {AUTHORITY}; each gets files of its own"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / f"{AUTHORITY}.pem").exists():
        _make_authority(folder, days)
    for name, hosts, is_node in wanted:
        if (folder / f"{name}.pem").exists():
            click.echo(f"{folder / name}.pem exists and is left as it is", err=True)
        else:
            _make_certificate(folder, name, hosts, is_node=is_node, days=days)


def _make_authority(folder: Path, days: int) -> None:
    extensions = (
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,keyCertSign,cRLSign",
        "subjectKeyIdentifier=hash",
    )
    _make(folder, AUTHORITY, "zring test authority", extensions, days, signed=False)


def _make_certificate(
    folder: Path, name: str, hosts: Sequence[str], *, is_node: bool, days: int
) -> None:
    usage = "serverAuth,clientAuth" if is_node else "clientAuth"
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        f"extendedKeyUsage={usage}",
        "subjectKeyIdentifier=hash",
        "authorityKeyIdentifier=keyid",
    ]
    if is_node:
        alternatives = [f"DNS:{name}", *(_alternative(host) for host in hosts)]
        extensions.append(f"subjectAltName={','.join(dict.fromkeys(alternatives))}")
    _make(folder, name, name, extensions, days, signed=True)


def _make(
    folder: Path, name: str, subject: str, extensions: Sequence[str], days: int, *, signed: bool
) -> None:
    """One key and certificate; both appear when they are whole."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        key, request, certificate = (
            Path(place) / part for part in ("key", "request", "certificate")
        )
        file = Path(place) / "extensions"
        file.write_text("\n".join(extensions) + "\n")
        # A configuration of our own: the machine's may add what these certificates must not have.
        configuration = Path(place) / "configuration"
        configuration.write_text(
            f"[req]\ndistinguished_name = name\nprompt = no\nutf8 = yes\n[name]\nCN = {subject}\n"
        )
        openssl("genpkey", "-algorithm", "EC", *CURVE, "-out", key)
        key.chmod(0o600)
        openssl("req", "-new", "-key", key, "-config", configuration, "-out", request)
        signer: tuple[str | Path, ...] = ("-signkey", key)
        if signed:
            signer = ("-CA", folder / f"{AUTHORITY}.pem", "-CAkey", folder / f"{AUTHORITY}-key.pem")
        openssl(
            "x509", "-req", "-in", request, *signer, "-set_serial", f"0x{os.urandom(15).hex()}",
            "-days", str(days), "-sha256", "-extfile", file, "-out", certificate,
        )  # fmt: skip
        key.replace(folder / f"{name}-key.pem")
        certificate.replace(folder / f"{name}.pem")
    click.echo(f"{folder / name}.pem and {folder / name}-key.pem")


def openssl(*arguments: str | Path) -> None:
    """Run openssl.

    Raises:
        click.ClickException: it failed; with its last words.
    """
    done = subprocess.run(
        ["openssl", *(str(argument) for argument in arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise click.ClickException(f"openssl {arguments[0]} failed: {words[0]}")


def _name(text: str) -> str:
    if not 0 < len(text) <= NAME_LENGTH_MAX or not NAME_CHARACTERS.issuperset(text):
        raise click.UsageError(
            f"{text!r} is no name; use 1-{NAME_LENGTH_MAX} of the characters a-z A-Z 0-9 . _ -"
        )
    return text


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(host for host in text.partition("=")[2].split(",") if host)
    for host in hosts:
        if not NAME_CHARACTERS.union(":").issuperset(host):
            raise click.UsageError(f"{host!r} is no host; write an address or a name")
    return (*hosts, *LOCAL_HOSTS)


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"
