"""The room that writes of one transaction share."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.errors import StoreFull
from node.storage.damage import DamageNote, ignore_damage
from node.storage.settings import EngineSettings
from node.storage.tables import Tables

FREE_BYTES = 600


def test_writes_of_one_transaction_share_the_room_that_it_began_with(tmp_path: Path) -> None:
    asked = []

    def space(path: Path) -> tuple[int, int]:
        asked.append(path)
        return 1_000, FREE_BYTES

    settings = replace(EngineSettings(), map_bytes_max=8 << 20, disk_space=space)
    tables = Tables(tmp_path, settings, DamageNote(tmp_path, ignore_damage))
    tables.begin_store()
    with tables.env.begin(write=True) as txn:
        tables.take_space(txn, 300)
        tables.take_space(txn, 200)
        assert len(asked) == 1
        with pytest.raises(StoreFull, match="disk"):
            tables.take_space(txn, 1)
    with tables.env.begin(write=True) as txn:
        tables.take_space(txn, 500)
    assert len(asked) == 2
    tables.env.close()
