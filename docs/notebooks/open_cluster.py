"""The nodes that a notebook talks to: four of its own, or a cluster that runs already."""

import os
import shutil
import tempfile
from pathlib import Path

from ingest.demo.nodes import LocalCluster
from tests.cluster.material import make_places


class OpenCluster:
    """Addresses of the nodes; `close` stops those that were started.

    Attributes:
        urls: where they answer, one for each node; with `ZRING_URL` only that one.
    """

    def __init__(self, *, domain: str | None = None) -> None:
        """Start four real nodes with their disks in a temporary folder, unless `ZRING_URL` is set.

        Args:
            domain: `west,south,east,north` of the new cluster; default: the square of the demo.
        """
        self._cluster: LocalCluster | None = None
        running = os.environ.get("ZRING_URL")
        if running:
            self.urls = [running]
            return
        self._folder = Path(tempfile.mkdtemp(prefix="zring-notebook-"))
        flags = () if domain is None else ("--domain", domain)
        self._cluster = LocalCluster(make_places(self._folder), flags=flags)
        try:
            self._cluster.start()
        except BaseException:
            self.close()
            raise
        self.urls = self._cluster.urls

    def close(self) -> None:
        """Stop the nodes that were started, and remove their disks."""
        if self._cluster is not None:
            self._cluster.stop()
            shutil.rmtree(self._folder, ignore_errors=True)
