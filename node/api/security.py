"""Who may call: bearer tokens with a role, compared in constant time."""

import hmac
from collections.abc import Mapping

from aiohttp import web

from node.config import ROLES, Role
from node.errors import Forbidden, Unauthorised

_SCHEME = "bearer "


def check_role(request: web.Request, tokens: Mapping[str, Role], needed: Role) -> None:
    """Let the request pass when its token has the needed role or a higher one.

    Raises:
        Unauthorised: no token, or one that is not known.
        Forbidden: the token's role is too low.
    """
    if not tokens:
        return
    given = request.headers.get("Authorization", "")
    role: Role | None = None
    if given[: len(_SCHEME)].lower() == _SCHEME:
        role = _role_of(given[len(_SCHEME) :].strip(), tokens)
    if role is None:
        raise Unauthorised(
            "no valid token; send the header Authorization: Bearer TOKEN with one of the tokens "
            "in security.tokens"
        )
    if ROLES.index(role) < ROLES.index(needed):
        raise Forbidden(f"the token's role is {role}, this needs {needed}; use another token")


def _role_of(given: str, tokens: Mapping[str, Role]) -> Role | None:
    """Every token is compared, so that the time tells nothing about any of them."""
    found: Role | None = None
    candidate = given.encode("utf-8", "surrogateescape")
    for token, role in tokens.items():
        if hmac.compare_digest(candidate, token.encode()):
            found = role
    return found
