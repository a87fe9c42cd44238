"""Settings: order of sources, origins in messages, refusals."""

from pathlib import Path

import pytest

from node.cli.catalogue import catalogue
from node.cli.settings import load_config
from node.cli.template import config_toml
from node.config import Config, is_loopback, parse_address
from node.errors import ConfigInvalid
from zring.domain import DEMO_DOMAIN, WORLD


def write(folder: Path, text: str) -> Path:
    file = folder / "zring.toml"
    file.write_text(text)
    return file


def test_later_sources_win_value_by_value(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '[node]\nname = "file"\nlisten = "127.0.0.1:1"\npeer_listen = "127.0.0.1:2"\n'
        "[limits]\nqueries_max = 7\n",
    )
    loaded = load_config(
        file=file,
        environment={"ZRING_NODE_NAME": "variable", "ZRING_NODE_LISTEN": "127.0.0.1:3"},
        flags={"node.name": "flag", "node.data": None},
    )
    assert loaded.config.node.name == "flag"
    assert loaded.config.node.listen == "127.0.0.1:3"
    assert loaded.config.node.peer_listen == "127.0.0.1:2"
    assert loaded.config.limits.queries_max == 7
    assert loaded.config.cluster.domain == DEMO_DOMAIN
    assert "flag" in loaded.origin("node.name")
    assert "ZRING_NODE_LISTEN" in loaded.origin("node.listen")
    assert loaded.origin("limits.queries_max") == str(file)
    assert loaded.origin("node.data") == "default"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[nod]\nname = "a"\n', ("[nod]", "node")),
        ('[node]\nlissten = "a"\n', ("node.lissten", "node.listen")),
        ('[node]\nlisten = "7070"\n', ("node.listen", "7070", "HOST:PORT", "zring.toml")),
        ('[node]\nlisten = "localhost:99999"\n', ("node.listen", "99999")),
        ('[cluster]\ngrain_level = 40\n', ("cluster.grain_level", "40", "1-16", "zring.toml")),
        ('[cluster]\ngrain_level = "x"\n', ("cluster.grain_level", "zring.toml")),
        ('[cluster]\ngrain_level = 1.5\n', ("cluster.grain_level", "whole number")),
        ('[cluster]\ndomain = "1,2,3"\n', ("cluster.domain", "west,south,east,north")),
        ('[cluster]\nfounders = ["a", "a"]\n', ("cluster.founders", "twice")),
        ('[cluster]\nplacement = "near"\n', ("cluster.placement", "halo")),
        ('[cluster]\nkey = "short"\n', ("cluster.key", "16")),
        ('[node]\nname = "a b"\n', ("node.name", "a b")),
        ('[node]\nlocation = [91, 135]\n', ("node.location", "longitude comes first")),
        ('[limits]\nqueries_max = 0\n', ("limits.queries_max", "above 0")),
        ('[security]\ntls_cert = "a.pem"\n', ("security.tls_key", "together")),
        ('[security]\ninsecure = "maybe"\n', ("security.insecure", "true or false")),
        ('[security]\ntokens = { secret = "root" }\n', ("security.tokens", "admin")),
        ('node = 3\n', ("[node]",)),
        ('[node\n', ("zring.toml", "TOML")),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_with_its_origin_and_the_way_out(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(file=write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_a_secret_does_not_appear_in_a_message() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(environment={"ZRING_SECURITY_TOKENS": "very-secret"})
    assert "very-secret" not in str(caught.value)


def test_unknown_variables_of_a_section_are_refused_and_others_ignored() -> None:
    assert load_config(environment={"ZRING_DEMO_EXIT": "1", "ZRING_URL": "x"}).config == Config()
    with pytest.raises(ConfigInvalid, match="ZRING_NODE_LISTEN"):
        load_config(environment={"ZRING_NODE_LISTENS": "127.0.0.1:1"})


def test_the_written_file_reads_back_as_the_defaults(tmp_path: Path) -> None:
    assert load_config(file=write(tmp_path, config_toml({}))).config == Config()


def test_every_written_default_can_be_uncommented(tmp_path: Path) -> None:
    lines = []
    for line in config_toml({}).splitlines():
        name, equals, value = line.removeprefix("# ").partition(" = ")
        is_setting = bool(equals) and any(path.endswith(f".{name}") for path in catalogue())
        lines.append(f"{name} = {value}" if is_setting else line)
    assert load_config(file=write(tmp_path, "\n".join(lines))).config == Config()


def test_given_values_are_set_in_the_written_file(tmp_path: Path) -> None:
    text = config_toml({"cluster.domain": WORLD, "cluster.founders": ("a", "b"), "node.name": "a"})
    config = load_config(file=write(tmp_path, text)).config
    assert config.cluster.domain == WORLD
    assert config.cluster.founders == ("a", "b")
    assert config.node.name == "a"


def test_every_setting_is_documented_in_the_source() -> None:
    for setting in catalogue().values():
        assert len(setting.documentation) > 15, setting.path


def test_text_of_variables_is_read_by_kind() -> None:
    config = load_config(
        environment={
            "ZRING_NODE_SEEDS": "127.0.0.1:1, 127.0.0.1:2",
            "ZRING_NODE_LOCATION": "135.2,34.2",
            "ZRING_SECURITY_TOKENS": "aaa=read,bbb=admin",
            "ZRING_SECURITY_INSECURE": "yes",
            "ZRING_LIMITS_REQUEST_BYTES_MAX": "1_000_000",
            "ZRING_CLUSTER_DOMAIN": "world",
        }
    ).config
    assert config.node.seeds == ("127.0.0.1:1", "127.0.0.1:2")
    assert config.node.location == (135.2, 34.2)
    assert config.security.tokens == {"aaa": "read", "bbb": "admin"}
    assert config.security.insecure is True
    assert config.limits.request_bytes_max == 1_000_000
    assert config.cluster.domain == WORLD


def test_protection_is_asked_for_beyond_loopback_only() -> None:
    assert load_config().config.missing_protection() == []
    beyond = {"ZRING_NODE_LISTEN": "0.0.0.0:7070"}
    missing = load_config(environment=beyond).config.missing_protection()
    assert [entry.split(":")[0] for entry in missing] == ["TLS", "a cluster key", "client tokens"]
    insecure = {**beyond, "ZRING_SECURITY_INSECURE": "true"}
    assert load_config(environment=insecure).config.missing_protection() == []


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1:1", True), ("127.8.8.8:1", True), ("localhost:1", True), ("[::1]:1", True),
     ("0.0.0.0:1", False), ("10.0.0.1:1", False), ("[::]:1", False), ("example.org:1", False)],
)  # fmt: skip
def test_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
    assert parse_address(address)[1] == 1
