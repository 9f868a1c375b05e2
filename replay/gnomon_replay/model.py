"""A model as the worker asks it: batches in, answers out, one error per bad request.

A crash, a hang, an exception or garbage is the problem of the model's process: the batch is cut into parts until
the guilty request stands alone, that request gets an `error`, and the rest goes on.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa

from gnomon_replay.endpoint import Endpoint
from gnomon_replay.errors import ModelError
from gnomon_replay.host import PAYLOAD
from gnomon_replay.hostprocess import HostError
from gnomon_replay.modelfile import locate as locate  # handed on
from gnomon_replay.outputs import OutputReader
from gnomon_replay.pairs import CRITICAL_KINDS, OUTPUT, UNREPRODUCED
from gnomon_replay.reserve import Reserve
from gnomon_replay.settings import Experiment, Model
from gnomon_replay.usage import Failures, Usage

PARTS = 8
"""Into how many a failed batch is cut: a hang costs its time limit in each round, a crash a new process, and
eighths find one request among 20,000 in five rounds, where halves take fifteen."""
MOST_ROWS = 20_000
CONTEXT = ("request_id", "ts", "key", "attributes")
"""What an endpoint and a hook are told of a request."""
_TAKING_PAYLOADS = ("callable", "endpoint")
_TIME_FRAC = 0.25
"""The share of the time limit that a batch may take, by the best speed so far."""


class HostedModel:
    """A model that answers every batch, whatever it does. Not thread-safe; close it.

    Attributes:
        version, digest: as configured, and of its bytes.
        features: the names that it declares; None where it takes what it is given.
        context: columns of a request that it is told beside the features, each under its name behind a `\\0`.
        asked, unfetched: of requests that its hook was asked about, repeated runs included, and of those of
            which it could not fetch all.
    """

    def __init__(
        self,
        model: Model,
        experiment: Experiment,
        folder: Path,
        threads: int,
        *,
        warm_up: int = 0,
        output: Path | None = None,
    ) -> None:
        """Starts the host and loads the model.

        Args:
            warm_up: as `ReplaySettings.warm_up` has it.
            output: the file for what it prints, begun anew; None keeps that only for messages.

        Raises:
            ModelError: it cannot be loaded, or is not a model for this task.
        """
        self.version = model.version
        self._settings = model
        self._warm_up = warm_up
        self._file = locate(model, folder)
        self.digest = self._file.digest
        self._counting = threading.Lock()  # an endpoint is asked by several threads
        self._usage = Usage()
        self._row_s = float("inf")  # a request takes in a batch
        self._most_rows = MOST_ROWS
        self._failures = Failures(model)
        self.task = experiment.task
        self.context = CONTEXT if model.is_endpoint or model.fetch_features else ()
        self.asked = 0
        self.unfetched = 0
        self._reader = OutputReader(model, experiment)
        self._hosts: Reserve | Endpoint = (
            Endpoint(model, experiment.task)
            if model.is_endpoint
            else Reserve(model, self._file, folder, threads, experiment.task, output)
        )
        try:
            host = self._hosts.current()
        except BaseException:
            self.close()
            raise
        self.features = host.features
        if host.classes is not None:
            try:
                self._reader.refuse(host.classes)
            except ModelError:
                self.close()
                raise

    def needs(self, known: list[str]) -> list[str]:
        """The features to hand over, of those the traffic has.

        Raises:
            ModelError: the model declares a feature that no request had.
        """
        if self.features is None or self._settings.fetch_features is not None:
            return known
        for name in self.features:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = (
                    f"did it mean `{near[0]}`?" if near else f"it has {', '.join(sorted(known)) or 'none'}."
                )
                raise ModelError(
                    self.version,
                    f"needs the feature `{name}`, which no request has had; {hint} "
                    "If it is only rare, declare its type under [features]",
                )
        return self.features

    def check(self, answers: pa.StructArray) -> None:
        """Looks at the answers to a handful of real requests.

        Raises:
            ModelError: all of them failed; better said now than in every row of the log.
        """
        if answers.field("error").null_count == 0:
            first = answers[0].as_py()
            raise ModelError(
                self.version,
                f"failed on all of {len(answers)} requests from the first batch: "
                f"{first['error']}: {first['message']}",
            )

    def answer(self, table: pa.Table) -> pa.StructArray:
        """Answers to a batch, one row each, of type `pairs.OUTPUT`.

        Args:
            table: a column per feature, or the column `host.PAYLOAD`; and those of `context`.
        """
        if PAYLOAD in table.column_names and self._file.kind not in _TAKING_PAYLOADS:
            return self._all_failed(
                table, "wrong_type", "this model takes features; the request has a payload"
            )
        if self._settings.is_endpoint:
            return self._answer_concurrently(table)
        answers = []
        begin = 0
        while begin < table.num_rows:
            chunk = table.slice(begin, self._batch_rows())
            answers.append(self._answer(chunk))
            begin += chunk.num_rows
        return pa.concat_arrays(answers) if answers else pa.array([], OUTPUT)

    def time(self, table: pa.Table) -> pa.StructArray:
        """The answer to one request, run alone, with `latency_us`: the model's call, without transport."""
        try:
            answers, elapsed_ns = self._predict(table)
            host = self._hosts.current()
            host.asked_alone += 1
            if host.asked_alone <= self._warm_up:
                self._usage.warm_up += 1
                return self._read(answers)
            self._usage.timed += 1
            return self._read(answers, latency_us=max(1, round(elapsed_ns / 1000)))
        except HostError as exc:
            return self._failed(table, exc)

    def cold(self) -> int:
        """How many requests, run alone, are still to warm the host up."""
        return max(0, self._warm_up - self._hosts.current().asked_alone)

    @property
    def usage(self) -> Usage:
        """What it took so far."""
        self._usage.peak_bytes = self._hosts.peak_bytes
        self._usage.restarts = self._hosts.restarts
        self._usage.network_attempts, self._usage.first_attempt = self._hosts.attempts
        return self._usage

    @property
    def network_isolated(self) -> bool:
        """Whether it has an empty network of its own."""
        return self._hosts.isolation.network

    def cautions(self) -> list[str]:
        """What whoever starts it must know about its confinement."""
        if self._settings.is_endpoint:
            return []
        isolation, said = self._hosts.isolation, []
        if self._settings.network:
            said.append(f"model {self.version} may reach the network (network = true)")
        elif not isolation.network:
            said.append(
                f"model {self.version}: this system allows no empty network ({isolation.why}): what its Python "
                "code tries is refused, but native code and programs that it starts could reach the network"
            )
        if not isolation.processes:
            said.append(
                f"model {self.version}: this system allows no process namespace ({isolation.why}): it could "
                "signal other processes of this user"
            )
        return said

    def close(self) -> None:
        """Ends the hosts."""
        self._hosts.close()

    def _answer_concurrently(self, table: pa.Table) -> pa.StructArray:
        """Several calls of an endpoint at a time, each cut into parts by itself if it fails."""
        size = self._settings.batch_rows
        parts = [table.slice(begin, size) for begin in range(0, table.num_rows, size)]
        with ThreadPoolExecutor(self._settings.concurrency) as calls:
            try:
                answers = pa.concat_arrays([pa.array([], OUTPUT), *calls.map(self._answer, parts)])
            except BaseException:
                calls.shutdown(cancel_futures=True)
                raise
        self._failures.count(answers)
        return answers

    def _answer(self, table: pa.Table) -> pa.StructArray:
        try:
            answers, elapsed_ns = self._predict(table)
            self._row_s = min(self._row_s, max(1, elapsed_ns) / 1e9 / table.num_rows)
            return self._read(answers)
        except HostError as exc:
            if table.num_rows == 1:
                return self._failed(table, exc)
            kind = exc.kind
        size = -(-table.num_rows // PARTS)
        answers = pa.concat_arrays(
            [self._answer(table.slice(begin, size)) for begin in range(0, table.num_rows, size)]
        )
        if kind == "out_of_memory" and answers.field("error").null_count == len(answers):
            self._most_rows = min(self._most_rows, size)  # no request is guilty: there were too many at once
        return answers

    def _batch_rows(self) -> int:
        if self._row_s == float("inf"):
            return self._most_rows
        return max(1, min(self._most_rows, int(_TIME_FRAC * self._settings.timeout_s / self._row_s)))

    def _predict(self, table: pa.Table) -> tuple[pa.Table, int]:
        answers, elapsed_ns, cpu_ns = self._hosts.current().predict(table)
        with self._counting:
            self._usage.answers += table.num_rows
            self._usage.cpu_s += cpu_ns / 1e9
        return answers, elapsed_ns

    def _failed(self, table: pa.Table, error: HostError) -> pa.StructArray:
        """The one guilty request's error. A crash or hang is critical only if it comes again, alone, in a
        fresh host; else its message says so."""
        message = str(error)
        if error.kind in CRITICAL_KINDS:
            self._hosts.discard()
            try:
                self._predict(table)
                message = UNREPRODUCED + message
            except HostError as again:
                if again.kind not in CRITICAL_KINDS:
                    message = UNREPRODUCED + message
        return self._counted(self._all_failed(table, error.kind, message))

    def _all_failed(self, table: pa.Table, kind: str, message: str) -> pa.StructArray:
        text = message.encode(errors="replace").decode()  # a model's words may hold what UTF-8 does not
        row = {"version": self.version, "error": kind, "message": text}
        return pa.array([row] * table.num_rows, OUTPUT)

    def _read(self, answers: pa.Table, latency_us: int | None = None) -> pa.StructArray:
        if "unfetched" in answers.column_names:
            self.asked += answers.num_rows
            self.unfetched += answers.num_rows - answers.column("unfetched").null_count
        return self._counted(self._reader.read(answers, self._hosts.current().classes, latency_us))

    def _counted(self, answers: pa.StructArray) -> pa.StructArray:
        """The answers, once failures were counted in their order; an endpoint's are when all its calls are done."""
        if not self._settings.is_endpoint:
            self._failures.count(answers)
        return answers
