"""Files that grow as a source: the contract, rotation, and what survives."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.errors import SourceRefused
from ingest.sources import POLL_BYTES_MAX, Source
from ingest.sources.files import make_files_source
from ingest.sources.files_settings import FilesSettings
from ingest.sources.growing_files import GrowingFilesSource
from tests.streams.contract import SourceContract, numbered, opened, payloads, poll_all


class FilesCase:
    """One file in a folder."""

    redelivers = orders = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logs"
        self.folder.mkdir()
        self.path = self.folder / "log.ndjson"
        self.path.touch()
        self.position = folder / "position.json"

    def produce(self, bodies: Sequence[bytes]) -> None:
        with self.path.open("ab") as stream:
            stream.writelines(body + b"\n" for body in bodies)

    def source(self, **settings: object) -> Source:
        made = {"paths": (str(self.folder / "log.ndjson"),), "position": self.position, **settings}
        return GrowingFilesSource("files", FilesSettings(**made))  # type: ignore[arg-type]

    def refused(self) -> Source:
        return self.source(paths=(str(self.folder / "absent.ndjson"),), follow=False)


@pytest.fixture
def case(tmp_path: Path) -> FilesCase:
    return FilesCase(tmp_path)


class TestFiles(SourceContract):
    """The contract."""


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(case: FilesCase) -> None:
    with opened(case.source()) as source:
        case.produce(numbered(0, 3))
        first = poll_all(source, 3)
        case.produce(numbered(3, 6))
        case.path.rename(case.folder / "log.1")
        case.produce(numbered(6, 9))
        rest = poll_all(source, 6)
        assert payloads([*first, *rest]) == numbered(0, 9)
        sequences = [at for messages in (*first, *rest) for at in messages.sequences.tolist()]
        assert sequences == list(range(9))
        assert {messages.stream for messages in rest} == {str(case.path)}
        source.acknowledge(first[0])


def test_a_file_renamed_while_nobody_looked_is_found_again(case: FilesCase) -> None:
    case.produce(numbered(0, 4))
    with opened(case.source()) as source:
        (messages,) = poll_all(source, 4)
        source.acknowledge(messages)
        case.produce(numbered(4, 6))
    case.path.rename(case.folder / "log.ndjson.1")
    case.produce(numbered(6, 8))
    with opened(case.source()) as source:
        assert payloads(poll_all(source, 4)) == numbered(4, 8)


def test_a_truncated_file_begins_again(case: FilesCase) -> None:
    case.produce(numbered(0, 10))
    with opened(case.source()) as source:
        for messages in poll_all(source, 10):
            source.acknowledge(messages)
        os.truncate(case.path, 0)
        case.produce(numbered(10, 12))
        (messages,) = poll_all(source, 2)
        assert payloads([messages]) == numbered(10, 12)
        assert messages.sequences.tolist() == [10, 11]


def test_a_line_counts_when_its_end_is_there(case: FilesCase) -> None:
    with opened(case.source()) as source, case.path.open("ab") as stream:
        stream.write(b'{"number": 0}\n{"num')
        stream.flush()
        assert payloads(poll_all(source, 1)) == numbered(0, 1)
        assert not source.poll(0)
        stream.write(b'ber": 1}\n')
        stream.flush()
        assert payloads(poll_all(source, 1)) == numbered(1, 2)


def test_a_file_that_is_not_followed_ends(case: FilesCase) -> None:
    case.produce(numbered(0, 2))
    with case.path.open("ab") as stream:
        stream.write(b"\n \n" + numbered(2, 3)[0])
    with opened(case.source(follow=False)) as source:
        assert payloads(poll_all(source, 3)) == numbered(0, 3)
        assert not source.poll(0) and source.is_at_end()


def test_a_line_that_does_not_fit_into_a_poll_comes_whole_in_the_next(case: FilesCase) -> None:
    """Seen in review: of a file that is not followed, half of such a line was handed out."""
    second = case.folder / "second.ndjson"
    nearly = b"a" * (POLL_BYTES_MAX - 100)
    case.produce([nearly])
    second.write_bytes(b"b" * 500 + b"\n" + b"c" * 500)
    with opened(case.source(paths=(str(case.folder),), follow=False)) as source:
        found = payloads(poll_all(source, 3))
        assert found == [nearly, b"b" * 500, b"c" * 500]
        assert not source.poll(0) and source.is_at_end()


def test_a_new_file_at_the_same_path_has_a_header_of_its_own(case: FilesCase) -> None:
    path = case.folder / "table.csv"
    path.write_bytes(b"a,b\n1,2\n")
    with opened(case.source(paths=(str(path),))) as source:
        first = poll_all(source, 1)
        path.rename(case.folder / "old")
        path.write_bytes(b"a,c\n3,4\n")
        assert payloads([*first, *poll_all(source, 1)]) == [b"a,b\n1,2", b"a,c\n3,4"]


def test_lines_of_csv_come_below_their_header(case: FilesCase) -> None:
    path = case.folder / "table.csv"
    path.write_bytes(b"a,b\r\n1,2\r\n3,4\r\n")
    with opened(case.source(paths=(str(path),), follow=False)) as source:
        found = payloads(poll_all(source, 2))
    assert found == [b"a,b\n1,2", b"a,b\n3,4"]


def put(folder: Path, name: str, body: bytes) -> None:
    """A file that was there before it could be seen."""
    path = folder / f".{name}"
    path.write_bytes(body)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    path.rename(folder / name)


def test_files_of_a_folder_as_messages(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    settings = FilesSettings(paths=(str(folder),), position=tmp_path / "position", unit="file")
    put(folder, "b.json", b"2")
    put(folder, "a.json", b"1")
    with opened(make_files_source("whole", settings)) as source:
        (first,) = poll_all(source, 2)
        assert list(first.payloads) == [b"1", b"2"] and list(first.keys) == [b"a.json", b"b.json"]
        put(folder, "c.json", b"3")
        (second,) = poll_all(source, 1)
        assert second.sequences.tolist() == [2] and not source.poll(0)
        source.acknowledge(first)
    with opened(make_files_source("whole", settings)) as source:
        (again,) = poll_all(source, 1)
        assert (list(again.keys), again.sequences.tolist()) == ([b"c.json"], [2])
        source.acknowledge(again)
        (folder / "a.json").unlink()
        put(folder, "b.json", b"22")
        (changed,) = poll_all(source, 1)
        assert list(changed.payloads) == [b"22"]
        source.acknowledge(changed)
    ended = FilesSettings((str(folder),), tmp_path / "position", follow=False, unit="file")
    with opened(make_files_source("whole", ended)) as source:
        assert not source.poll(0) and source.is_at_end()
    nowhere = FilesSettings((str(folder / "x"),), tmp_path / "position", unit="file")
    with pytest.raises(SourceRefused, match="no folder"):
        make_files_source("whole", nowhere).open()


def test_a_damaged_position_is_refused(case: FilesCase) -> None:
    case.position.write_text('{"version": 1, "files": [{"file": 7}]')
    with pytest.raises(SourceRefused, match="position"):
        case.source().open()
