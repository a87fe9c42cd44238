"""Who may call: bearer tokens with a role, found by their digest.

A request costs one SHA-256 and one look into a dict. The time of that look tells an attacker
something about digests of wrong tokens, and nothing about a right one: they are 256 random bits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web

from node.config import ROLES, Role
from node.errors import Forbidden, Unauthorised
from node.tokens import TokenEntry, digest_of

_SCHEME = "bearer "
ANYONE = "anyone"
"""The subject of calls where no token is asked for."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever a token belongs to."""

    name: str
    role: Role


class Access:
    """The tokens in force; `replace` puts others in their place while the node runs.

    Args:
        tokens: tokens as they are → role; they are kept as digests only.
        entries: those of a token file; None where there is none.
    """

    def __init__(
        self, tokens: Mapping[str, Role] | None = None, entries: Iterable[TokenEntry] | None = None
    ) -> None:
        self._plain = {
            digest: Holder(f"token-{digest[:8]}", role)
            for digest, role in ((digest_of(token), role) for token, role in (tokens or {}).items())
        }
        self._holders: dict[str, Holder] = {}
        self.required = bool(tokens) or entries is not None
        """Whether a token is asked for; a token file without entries lets nobody in."""
        self.replace(entries or ())

    def replace(self, entries: Iterable[TokenEntry]) -> None:
        """The token file has changed."""
        listed = {entry.digest: Holder(entry.name, entry.role) for entry in entries}
        self._holders = {**self._plain, **listed}

    def admit(self, entry: TokenEntry) -> None:
        """Let in one more holder until this process ends, whatever the token file says."""
        self._plain[entry.digest] = Holder(entry.name, entry.role)
        self._holders[entry.digest] = Holder(entry.name, entry.role)

    def holder(self, request: web.Request) -> Holder | None:
        """Whose token came with a request; None without a valid one."""
        given = request.headers.get("Authorization", "")
        if given[: len(_SCHEME)].lower() != _SCHEME:
            return None
        return self._holders.get(digest_of(given[len(_SCHEME) :].strip()))

    def check(self, request: web.Request, needed: Role) -> None:
        """Let the request pass when its token has the needed role or a higher one.

        Raises:
            Unauthorised: no token, or one that is not known.
            Forbidden: the token's role is too low.
        """
        holder = self.holder(request)
        if holder is None:
            raise Unauthorised(
                "no valid token; send the header Authorization: Bearer TOKEN with one that "
                "zring token make has made for this node"
            )
        if ROLES.index(holder.role) < ROLES.index(needed):
            raise Forbidden(
                f"the token {holder.name} has the role {holder.role}, this needs {needed}; "
                "use another token"
            )

    def subject(self, request: web.Request) -> str:
        """Who calls, for the audit log."""
        holder = self.holder(request)
        if holder is not None:
            return holder.name
        return "unknown" if self.required else ANYONE
