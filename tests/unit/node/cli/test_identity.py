"""Whose store it is: names, and refusals that say what to correct."""

from pathlib import Path

import pytest

from node.cli.identity import bytes_to_identity, host_name, identity_to_bytes, named_config
from node.cli.settings import load_config
from node.config import NodeSettings
from node.errors import ConfigInvalid, StoreDamaged


def test_the_name_is_the_one_given_then_the_stores_then_the_hosts(tmp_path: Path) -> None:
    given = named_config(load_config(flags={"node.name": "a"}), None)
    assert given.node.name == "a"
    stored = bytes_to_identity(identity_to_bytes(given))
    assert named_config(load_config(), stored).node.name == "a"
    assert named_config(load_config(), None).node.name == host_name()
    assert NodeSettings(name=host_name())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("cluster.id", "other"), ("cluster.domain", "world"), ("cluster.grain_level", "3"),
     ("node.name", "b")],
)  # fmt: skip
def test_another_store_is_refused(setting: str, value: str) -> None:
    stored = bytes_to_identity(
        identity_to_bytes(named_config(load_config(flags={"node.name": "a"}), None))
    )
    with pytest.raises(ConfigInvalid, match=setting) as caught:
        named_config(load_config(flags={setting: value}), stored)
    assert caught.value.setting == setting


@pytest.mark.parametrize("stored", [b"", b"{", b"[]", b'{"version": 99}'])
def test_an_identity_that_cannot_be_read(stored: bytes) -> None:
    with pytest.raises(StoreDamaged):
        bytes_to_identity(stored)
