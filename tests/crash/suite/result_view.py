"""A result file as h5py and the file system see it, beside that of a run to which nothing happened."""
import os

import h5py
import numpy

RECORD_BYTES = 32
DONE, FAILED, PARTIAL = 1, 2, 3


def read_h5(path):
    """Everything of a result file through plain h5py: datasets by name, their places, attributes."""
    with h5py.File(path, "r") as file:
        data = {name: file[name][...] for name in file}
        places = {name: (file[name].id.get_offset(), file[name].id.get_storage_size()) for name in file}
        return data, places, dict(file.attrs)


def statuses_of(records):
    return records[:, 0].astype(int) + 256 * records[:, 1].astype(int)


class Reference:
    """The file that every run of a job has to end with."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.content = file.read()
        self.data, self.places, self.attributes = read_h5(path)
        self.count = len(self.data["rows"])
        self.records = self._records_in(self.content)
        self.metadata = self._metadata_in(self.content)
        if not all(status in (DONE, FAILED) for status in statuses_of(self.records)):
            raise RuntimeError(f"{path} is no finished result file")

    def _records_in(self, content):
        begin, size = self.places["rows"]
        return numpy.frombuffer(content[begin:begin + size], dtype=numpy.uint8).reshape(-1, RECORD_BYTES)

    def _metadata_in(self, content):
        pieces, at = [], 0
        for begin, size in sorted(self.places.values()):
            pieces.append(content[at:begin])
            at = max(at, begin + size)
        pieces.append(content[at:])
        return b"".join(pieces)

    def read_records(self, path):
        """The records as they are in the page cache at this moment; None without a file."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            begin, size = self.places["rows"]
            content = os.pread(descriptor, size, begin)
        finally:
            os.close(descriptor)
        if len(content) != size:
            return None
        return numpy.frombuffer(content, dtype=numpy.uint8).reshape(-1, RECORD_BYTES)

    def judge(self, path, acknowledged):
        """What is wrong with the file at `path`, where the rows `acknowledged` have been seen finished.

        @return (problems, counts by status)"""
        problems = []
        if not os.path.exists(path):
            return ([f"no file, but {len(acknowledged)} rows were acknowledged"] if acknowledged else [], {})
        with open(path, "rb") as file:
            content = file.read()
        if len(content) != len(self.content):
            return [f"{len(content)} bytes instead of {len(self.content)}"], {}
        if self._metadata_in(content) != self.metadata:
            problems.append("metadata bytes changed")
        try:
            data, places, attributes = read_h5(path)
        except OSError as error:
            return problems + [f"h5py cannot open it: {error}"], {}
        if places != self.places or attributes != self.attributes:
            problems.append("h5py sees other datasets or attributes")
        records = self._records_in(content)
        statuses = statuses_of(records)
        for row in sorted(acknowledged):
            if statuses[row] not in (DONE, FAILED):
                problems.append(f"acknowledged row {row} is lost (status {statuses[row]})")
        for row in numpy.flatnonzero(numpy.any(records != 0, axis=1)):
            problems += self._judge_row(int(row), records, int(statuses[row]), data)
        counts = {int(status): int(count) for status, count in zip(*numpy.unique(statuses, return_counts=True))}
        return problems, counts

    def _judge_row(self, row, records, status, data):
        if status in (DONE, FAILED):
            if not numpy.array_equal(records[row], self.records[row]):
                return [f"row {row} has another record than it should end with"]
            same = all(numpy.array_equal(data[name][row], self.data[name][row]) for name in self.data if name != "rows")
            return [] if same else [f"row {row} is said to be finished, but its bytes are others"]
        if status != PARTIAL:
            return [f"row {row} has status {status}"]
        length = int(data["rows"]["length"][row])
        if length > int(self.data["rows"]["length"][row]):
            return [f"partial row {row} is longer than the finished one"]
        same = all(numpy.array_equal(data[name][row][:length], self.data[name][row][:length])
                   for name in ("tokens", "token_logprobs") if name in self.data)
        return [] if same else [f"partial row {row} does not begin as the finished one"]


class Watcher:
    """Looks at the records while ranks write them, and remembers what any reader could have seen finished."""

    def __init__(self, reference, path):
        self.reference = reference
        self.path = path
        self.acknowledged = set()
        self.problems = []
        self.partial = 0
        self._before = None
        self._finished = None

    def look(self):
        """@return number of rows seen finished so far."""
        # A read beside a write may see a part of it: a record is whole where two reads agree.
        first = self.reference.read_records(self.path)
        records = self.reference.read_records(self.path)
        if first is None or records is None:
            return len(self.acknowledged)
        statuses = statuses_of(records)
        whole = ~numpy.any(first != records, axis=1)
        finished = whole & ((statuses == DONE) | (statuses == FAILED))
        if self._before is not None:
            for row in numpy.flatnonzero(self._finished & numpy.any(records != self._before, axis=1)):
                self.problems.append(f"row {row} changed after it had been seen finished")
        self._before, self._finished = records, finished
        self.partial = int(numpy.count_nonzero(statuses == PARTIAL))
        self.acknowledged.update(int(row) for row in numpy.flatnonzero(finished))
        return len(self.acknowledged)
