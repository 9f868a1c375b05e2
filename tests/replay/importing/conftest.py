"""What the tests of importing share: one import into a spool, read back by the contract's own decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from gnomon_capture.record import Ledger, Request, decode_line
from gnomon_capture.settings import from_mapping
from gnomon_capture.spool import SpoolReader
from gnomon_replay.importing.run import import_files
from gnomon_replay.importing.settings import ImportSettings


def read_all(folder: Path) -> tuple[list[Request], list[Ledger]]:
    reader = SpoolReader(folder)
    lines = []
    for partition in reader.partitions():
        while (chunk := reader.read(partition))[1]:
            lines += [decode_line(line) for line in chunk[1].splitlines()]
    return (
        [line for line in lines if isinstance(line, Request)],
        [line for line in lines if isinstance(line, Ledger)],
    )


@pytest.fixture
def imported(tmp_path):
    """Imports files by a mapping; gives what was done, the records, and the ledgers, whose accounts it checks."""

    def run(*paths, to=None, **mapping):
        folder = to or tmp_path / "traffic"
        settings = from_mapping(ImportSettings, mapping, "import")
        done = import_files([Path(path) for path in paths], f"spool:{folder}", settings)
        records, ledgers = read_all(folder)
        for each in done:
            [ledger] = [ledger for ledger in ledgers if ledger.process == each.process]
            mine = [record for record in records if record.origin.process == each.process]
            assert [record.origin.seq for record in mine] == list(range(each.records))
            assert ledger.closed
            assert ledger.mirrored == each.records
            assert ledger.seen == each.records + each.skipped.total
        assert not list(folder.glob(".import-*"))
        return done, records, ledgers

    return run
