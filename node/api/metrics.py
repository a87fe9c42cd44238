"""Request counts and latencies, and Prometheus' text format (version 0.0.4)."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram, seconds."""


@dataclass(slots=True)
class RouteMetrics:
    """Of one route: how many requests by class of status, and how long they took."""

    statuses: dict[int, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    seconds: float = 0.0


@dataclass(slots=True)
class RequestMetrics:
    """Of one application; only the event loop touches it."""

    routes: dict[str, RouteMetrics] = field(default_factory=dict)
    cancelled: int = 0
    bytes_sent: int = 0
    rows_sent: int = 0
    bytes_received: int = 0
    failures: int = 0

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count one finished request."""
        metrics = self.routes.get(route)
        if metrics is None:
            metrics = self.routes[route] = RouteMetrics()
        metrics.statuses[status] = metrics.statuses.get(status, 0) + 1
        metrics.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        metrics.seconds += seconds


def metric(
    name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> str:
    """One metric family as text."""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    lines.extend(f"{name}{_labels(labels)} {value:.15g}" for labels, value in samples)
    return "\n".join(lines) + "\n"


def request_metrics(metrics: RequestMetrics) -> str:
    """The families of the HTTP door."""
    routes = sorted(metrics.routes.items())
    counts = [
        ({"route": route, "status": str(status)}, count)
        for route, of_route in routes
        for status, count in sorted(of_route.statuses.items())
    ]
    durations = []
    for route, of_route in routes:
        total = 0
        for bound, count in zip((*BUCKETS_S, float("inf")), of_route.buckets, strict=True):
            total += count
            durations.append(f'{{route="{_escaped(route)}",le="{_bound(bound)}"}} {total}')
    name = "zring_http_request_seconds"
    lines = [f"# HELP {name} Time until the answer was ready.", f"# TYPE {name} histogram"]
    lines.extend(f"{name}_bucket{line}" for line in durations)
    for route, of_route in routes:
        labels = f'{{route="{_escaped(route)}"}}'
        lines.append(f"{name}_sum{labels} {of_route.seconds:.9g}")
        lines.append(f"{name}_count{labels} {sum(of_route.buckets)}")
    single = (
        ("zring_http_cancelled_total", "Requests whose client left.", metrics.cancelled),
        ("zring_http_failures_total", "Requests that hit an unexpected error.", metrics.failures),
        ("zring_http_sent_bytes_total", "Bytes of bodies sent.", metrics.bytes_sent),
        ("zring_http_sent_rows_total", "Records of answers sent.", metrics.rows_sent),
        ("zring_http_received_bytes_total", "Bytes of bodies received.", metrics.bytes_received),
    )
    return (
        metric("zring_http_requests_total", "counter", "Requests by route and status.", counts)
        + "\n".join(lines)
        + "\n"
        + "".join(metric(name, "counter", text, [({}, value)]) for name, text, value in single)
    )


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else f"{bound:g}"
