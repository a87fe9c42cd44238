"""The token file: what is written is read, what is wrong is named, and no token is in it."""

from pathlib import Path

import pytest

from node.api.security import Access
from node.errors import ConfigInvalid
from node.tokens import PREFIX, TokenEntry, digest_of, make_token, read_tokens, write_tokens

DIGEST = "0" * 64


def entry(name: str = "a", role: str = "read", digest: str = DIGEST) -> TokenEntry:
    return TokenEntry(name, role, digest)  # type: ignore[arg-type]


def test_entries_come_back_and_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    token = make_token()
    assert token.startswith(PREFIX) and token != make_token()
    entries = [entry("b", "admin", digest_of(token)), entry("a")]
    write_tokens(file, entries)
    assert read_tokens(file) == tuple(sorted(entries, key=lambda known: known.name))
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in file.read_text()
    write_tokens(file, [])
    assert read_tokens(file) == ()
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.toml"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[[token]\n", "TOML"),
        ('[[token]]\nname = "a"\n', "name, role and sha256"),
        ('token = "a"\n', "name, role and sha256"),
        (f'[[token]]\nname = "a"\nrole = "root"\nsha256 = "{DIGEST}"\n', "role=root"),
        (f'[[token]]\nname = "a b"\nrole = "read"\nsha256 = "{DIGEST}"\n', "name='a b'"),
        ('[[token]]\nname = "a"\nrole = "read"\nsha256 = "zz"\n', "64 hex"),
        (f'[[token]]\nname = "a"\nrole = "read"\nsha256 = "{DIGEST}"\n' * 2, "twice"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text)
    with pytest.raises(ConfigInvalid, match=word):
        read_tokens(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="zring token make"):
        read_tokens(tmp_path / "none.toml")


def test_a_token_file_without_entries_lets_nobody_in_and_no_file_everybody() -> None:
    assert not Access().required
    assert not Access({}).required
    assert Access({"a": "read"}).required
    assert Access(None, ()).required
