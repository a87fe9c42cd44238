"""Certificates of an authority for tests, made by the command that operators use."""

from pathlib import Path

from click.testing import CliRunner

from node.cli.certs import certs


def make_certs(folder: Path, server: str, client: str) -> Path:
    """A folder with `ca.pem`, and NAME.pem and NAME-key.pem of a server here and of a client."""
    done = CliRunner().invoke(certs, [str(folder), "--node", server, "--client", client])
    assert done.exit_code == 0, done.output
    return folder
