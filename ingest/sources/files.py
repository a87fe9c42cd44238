"""Files as a source: growing ones line by line, or whole ones out of a folder."""

from ingest.sources.files_settings import FilesSettings
from ingest.sources.growing_files import GrowingFilesSource
from ingest.sources.source import Source
from ingest.sources.whole_files import WholeFilesSource


def make_files_source(name: str, settings: FilesSettings) -> Source:
    """The source for the unit of its settings."""
    if settings.unit == "file":
        return WholeFilesSource(name, settings)
    return GrowingFilesSource(name, settings)
