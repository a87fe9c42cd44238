"""Problem documents (RFC 9457) of a node become the exceptions of `node.errors` again."""

import inspect

import orjson

from node import errors
from node.client.connection import Response

_BY_REASON: dict[str, type[errors.NodeError]] = {
    error.reason: error
    for error in vars(errors).values()
    if inspect.isclass(error) and issubclass(error, errors.NodeError)
}
_BY_STATUS: dict[int, type[errors.NodeError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorised,
    403: errors.Forbidden,
    404: errors.NotFound,
    413: errors.TooLarge,
    422: errors.BadRecord,
    503: errors.Unavailable,
    504: errors.DeadlineExceeded,
    507: errors.StoreFull,
}


def problem_to_error(response: Response, *, url: str) -> errors.NodeError:
    """The error that an answer with status >= 400 stands for.

    `retry_after_s` of errors that can be retried is what the node asked for.
    """
    problem = _problem(response)
    status = response.status
    message = str(problem.get("detail") or problem.get("title") or f"{url} answered {status}")
    kind = _BY_REASON.get(str(problem.get("reason"))) or _BY_STATUS.get(status)
    if kind is None:
        kind = errors.BadRequest if 400 <= status < 500 else errors.PeerRefused
    if issubclass(kind, errors.BadRequest):
        field = problem.get("field")
        return kind(message, field=None if field is None else str(field))
    if issubclass(kind, errors.StaleRing):
        return errors.Unavailable(message)
    error = kind(message)
    retry_after = response.headers.get("retry-after", "")
    if isinstance(error, errors.Unavailable) and retry_after.isdigit():
        error.retry_after_s = int(retry_after)
    return error


def _problem(response: Response) -> dict[str, object]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        document = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
