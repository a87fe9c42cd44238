"""`zring init`: write a commented settings file."""

from pathlib import Path
from typing import Any

import click

from node.cli.catalogue import catalogue
from node.cli.settings import load_config
from node.cli.template import config_toml


@click.command()
@click.option("--cluster", "cluster_id", help="Name of the cluster.")
@click.option("--domain", help='"west,south,east,north" in degrees, or "world".')
@click.option("--grain-level", help="Level of the finest cells, 1-16.")
@click.option("--founders", help="Names of the first nodes in curve order: sw,nw,se,ne.")
@click.option("--name", help="Name of this node.")
@click.option("--data", help="Folder of this node's store.")
@click.option("--listen", help="Address for people and programs, HOST:PORT.")
@click.option("--peer-listen", help="Address for other nodes, HOST:PORT.")
@click.option("--seed", "seeds", multiple=True, help="Peer address of another node; repeatable.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False),
    help="Write to this file; an existing one is left alone.",
)  # fmt: skip
def init(output: Path | None, **given: Any) -> None:
    """Write the settings of one node as commented TOML.

    Every setting is there with its default, its unit and its reason; what you give as an option
    is set, the rest is commented out. Nothing is overwritten.

    \b
    Examples:
      zring init > zring.toml
      zring init --domain 122,24,146,46 --founders a,b,c,d --name a -o a.toml
      zring init --domain world --grain-level 12 > zring.toml
    """
    paths = {
        "cluster_id": "cluster.id",
        "domain": "cluster.domain",
        "grain_level": "cluster.grain_level",
        "founders": "cluster.founders",
        "name": "node.name",
        "data": "node.data",
        "listen": "node.listen",
        "peer_listen": "node.peer_listen",
        "seeds": "node.seeds",
    }
    flags = {paths[name]: value for name, value in given.items() if value}
    config = load_config(flags=flags).config
    values = {
        path: getattr(getattr(config, setting.section), setting.name)
        for path, setting in catalogue().items()
        if path in flags
    }
    text = config_toml({"cluster.domain": config.cluster.domain, **values})
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(
            f"{output} exists and is left as it is; choose another name"
        ) from None
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {output}; start the node with: zring serve --config {output}", err=True)
