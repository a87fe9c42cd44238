"""Client tokens: how they are made, and the file that keeps their digests.

A token is 256 random bits, so its plain SHA-256 tells nothing about it: the file may be read
without giving anybody access. One entry for each holder:

    [[token]]
    name = "dashboard"
    role = "read"
    sha256 = "9f86d0…"
"""

import hashlib
import os
import secrets
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from node.config import NAME_CHARACTERS, NAME_LENGTH_MAX, ROLES, Role
from node.errors import ConfigInvalid

PREFIX = "zring_"
"""So that a token is known for one where it should not be: in a log, in a repository."""
TOKEN_BYTES = 32
TOKENS_MAX = 10_000
_DIGEST_LENGTH = 64
_HEAD = """\
# Client tokens of a zring node: names, roles and SHA-256 digests, never the tokens themselves.
# Make one with: zring token make NAME --role read|write|admin
"""


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """One holder of a token.

    Attributes:
        digest: SHA-256 of the token, in hex.
    """

    name: str
    role: Role
    digest: str

    def __post_init__(self) -> None:
        valid = 0 < len(self.name) <= NAME_LENGTH_MAX and NAME_CHARACTERS.issuperset(self.name)
        if not valid:
            raise ConfigInvalid(
                f"name={self.name!r} is no name of a token; use 1-{NAME_LENGTH_MAX} of the "
                "characters a-z A-Z 0-9 . _ -"
            )
        if self.role not in ROLES:
            raise ConfigInvalid(f"role={self.role} is no role; choose one of {', '.join(ROLES)}")
        if len(self.digest) != _DIGEST_LENGTH or not set(self.digest) <= set("0123456789abcdef"):
            raise ConfigInvalid(f"sha256 of the token {self.name} is no digest of 64 hex digits")


def make_token() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(file: Path) -> tuple[TokenEntry, ...]:
    """All entries of a token file.

    Raises:
        ConfigInvalid: it cannot be read; names what is wrong.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        entries = tuple(
            TokenEntry(str(entry["name"]), entry["role"], str(entry["sha256"]))
            for entry in document.get("token", [])
        )
    except FileNotFoundError:
        raise ConfigInvalid(
            f"security.token_file={file} does not exist; make one with: zring token make",
            setting="security.token_file",
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{file} cannot be read as TOML: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise ConfigInvalid(f"{file}: each [[token]] has name, role and sha256") from None
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names) or len(names) > TOKENS_MAX:
        raise ConfigInvalid(f"{file}: a name is there twice, or there are more than {TOKENS_MAX}")
    return entries


def write_tokens(file: Path, entries: Iterable[TokenEntry]) -> None:
    """Replace a token file as a whole; only its owner may read it.

    Raises:
        OSError: it cannot be written.
    """
    lines = [_HEAD]
    for entry in sorted(entries, key=lambda entry: entry.name):
        values = (("name", entry.name), ("role", entry.role), ("sha256", entry.digest))
        # JSON's escapes are those of a TOML basic string.
        lines.append("[[token]]")
        lines.extend(f"{name} = {orjson.dumps(text).decode()}" for name, text in values)
        lines.append("")
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write("\n".join(lines))
    fresh.replace(file)
