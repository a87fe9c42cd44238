"""`/cluster/forget`: giving up a removed member that will never return."""

from aiohttp import web

from node.api.bodies import check_names, read_document, record_act, typed_field
from node.api.coverage import spans_to_shape, time_text
from node.api.respond import json_response
from node.api.state import STATE
from node.errors import BadRequest, NodeError

_FIELDS = ("node", "dry_run")


async def post_forget(request: web.Request) -> web.StreamResponse:
    """Say what goes with a member, and unless it is a dry run give it up."""
    state = request.app[STATE]
    document = await read_document(request)
    check_names(document, dict.fromkeys(_FIELDS))
    node = typed_field(document, "node", str)
    if not node:
        raise BadRequest("node='' is no name", field="node")
    forgetting = state.service.forgetting
    if typed_field(document, "dry_run", bool, default=False):
        given_up = forgetting.look(node)
    else:
        try:
            given_up = await forgetting.forget(node)
        except NodeError as error:
            record_act(request, "forget", "failed", member=node, reason=str(error))
            raise
        record_act(request, "forget", "done", member=node, owed_to=given_up.owed_to)
    since_us = given_up.since_us
    return json_response(
        {
            "node": node,
            "already": given_up.already,
            "since": None if since_us is None else time_text(since_us),
            "heard": given_up.heard,
            "owed_to": given_up.owed_to,
            "area": spans_to_shape(given_up.spans, state.domain),
        }
    )
