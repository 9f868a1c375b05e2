"""Models in real processes, and records to ask them about."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from deltalake import DeltaTable
from gnomon_replay.asking import Panel
from gnomon_replay.decode import Decoder
from gnomon_replay.log import PairLog
from gnomon_replay.model import HostedModel
from gnomon_replay.settings import Experiment, Model, ReplaySettings
from gnomon_replay.shape import Shape
from gnomon_replay.traffic import Frame, Source, Stream
from gnomon_replay.window import Window
from gnomon_replay.worker import Worker
from sklearn.linear_model import LogisticRegression

# What the callables do is said by each request: `x`, and `do` for what goes wrong.
MODELS = '''
import ctypes, os, re, signal, subprocess, sys, time
from pathlib import Path
import pandas as pd

LAST = {}

def parity(frame):
    """P(1) is 0.9 for odd x, 0.1 for even x."""
    odd = frame["x"] % 2 == 1
    return pd.DataFrame({"label": odd.astype(int), "score": odd * 0.8 + 0.1})

def thirds(frame):
    third = frame["x"] % 3 == 0
    return pd.DataFrame({"label": third.astype(int), "score": third * 0.6 + 0.2})

def fifths(frame):
    fifth = frame["x"] % 5 == 0
    return pd.DataFrame({"label": fifth.astype(int), "score": fifth * 0.6 + 0.2})

def refusing(frame):
    """Fails on everything."""
    raise ValueError("not today")

def rows(payloads):
    """Of payloads, or of the rows of a frame."""
    if not isinstance(payloads, list):
        payloads = payloads.to_dict("records")
    return [{"label": payload["x"] % 2, "score": 0.5 + payload["x"] / 1e6} for payload in payloads]

def given(payloads):
    """As labels, what it was given."""
    return [{"label": repr(payload)} for payload in payloads]

def cells(frame):
    """As labels, the rows that it was given."""
    return [{"label": repr(row)} for row in frame.to_dict("records")]

def told(frame):
    """As labels, whatever the column `label` says."""
    import numpy as np
    forms = {"int": 1, "float": 1.0, "text": "1", "text float": "1.0", "bool": True, "numpy int": np.int64(1),
             "numpy float": np.float32(1), "numpy bool": np.bool_(True), "none": None, "nan": float("nan"),
             "inf": float("inf"), "na": pd.NA, "late": "late", "list": [1], "tenth": np.float32(0.1)}
    Path("calls").open("a").write("call\\n")
    return [{"label": forms[form]} for form in frame["label"]]

def picky(frame):
    """As `parity`, but for what the requests bid it do."""
    bidden = set(frame["do"].dropna())
    if "raise" in bidden: raise ValueError("no such carrier: \\udc00")
    if "exit" in bidden: sys.exit(3)
    if "_exit" in bidden: os._exit(4)
    if "segv" in bidden: ctypes.string_at(0)
    if "hang" in bidden: time.sleep(1000)
    if "memory" in bidden: raise MemoryError
    if "once" in bidden and not Path("crashed").exists():
        Path("crashed").touch()
        os._exit(5)
    if "none" in bidden: return None
    answer = parity(frame)
    if "text" in bidden: answer["score"] = answer["score"].astype(object).where(frame["do"] != "text", "high")
    if "nan" in bidden: answer["score"] = answer["score"].where(frame["do"] != "nan")
    if "infinite" in bidden: answer["score"] = answer["score"].where(frame["do"] != "infinite", float("inf"))
    if "no label" in bidden: answer["label"] = answer["label"].astype(object).where(frame["do"] != "no label", None)
    if "short" in bidden: answer = answer[frame["do"] != "short"]
    if "long" in bidden: answer = pd.concat([answer, answer])
    return answer

def slow(frame):
    """A hundredth of a second a request."""
    time.sleep(0.01 * len(frame))
    return parity(frame)

def verbose(frame):
    print("x" * (1 << 20), flush=True)
    print("these were its last words", flush=True)
    return picky(frame)

def parental(frame):
    """Leaves children behind, one of them a fork."""
    child = subprocess.Popen(["sleep", "1000"])
    fork = os.fork()
    if not fork:
        time.sleep(1000)
    Path("pids").write_text(f"{os.getpid()} {child.pid} {fork}")
    return picky(frame)

def busy(frame):
    """Holds the interpreter's lock for ever."""
    parental(frame.assign(do=None))
    re.match("(a*)*b", "a" * 60)

def nosy(frame):
    """As a label, what it finds around it."""
    found = [name for name in ("log", "model", "shape", "worker") if __import__("importlib").util.find_spec(name)]
    return pd.DataFrame({"label": [f"{os.environ.get('GNOMON_SECRET')} {found} {os.getcwd()}"] * len(frame)})

constant = 7
'''


VERSIONS = {"thirds": "2", "fifths": "3", "refusing": "4"}


@pytest.fixture(scope="session")
def experiment() -> Experiment:
    return Experiment(name="e", task="binary", positive=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The configuration's folder, with `models.py`."""
    (tmp_path / "models.py").write_text(MODELS)
    return tmp_path


@pytest.fixture
def hosted(folder: Path, experiment: Experiment) -> Iterator[Callable[..., HostedModel]]:
    """Starts hosts that end with the test: `hosted("models:parity", timeout_s=1)`."""
    with contextlib.ExitStack() as stack:

        def start(model: str, version: str = "1", **settings: Any) -> HostedModel:
            named = Model(version=version, model=model, **settings)
            return stack.enter_context(contextlib.closing(HostedModel(named, experiment, folder, 1)))

        yield start


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory, experiment: Experiment
) -> Iterator[Callable[..., HostedModel]]:
    """The same of hosts that all tests share, since each takes a second to start."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "models.py").write_text(MODELS)
    training = {"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 0.0, 1.0, 0.0]}
    skops.io.dump(LogisticRegression().fit(pd.DataFrame(training), [0, 0, 1, 1]), folder / "logistic.skops")
    started: dict[str, HostedModel] = {}

    def start(model: str, version: str = "1", **settings: Any) -> HostedModel:
        named = Model(version=version, model=model, **settings)
        if repr(named) not in started:
            started[repr(named)] = HostedModel(named, experiment, folder, 1)
        return started[repr(named)]

    yield start
    for each in started.values():
        each.close()


@pytest.fixture(scope="session")
def line() -> Callable[..., bytes]:
    """A record's line: `line(7, x=1)` is request r7 with the feature x; keywords with `_` are other fields."""

    def write(number: int, *, with_: dict[str, Any] | None = None, **features: Any) -> bytes:
        record = {"request_id": f"r{number}", "ts": "2026-11-24T08:00:00Z", "features": features}
        return json.dumps(record | (with_ or {})).encode() + b"\n"

    return write


@pytest.fixture(scope="session")
def requests_of() -> Callable[..., pa.Table]:
    """The requests in some lines, as the worker hands them to the models."""

    def read(lines: list[bytes], **declared: str) -> pa.Table:
        frame = Frame(Stream("spool:e", None), "p", 0, len(lines), b"".join(lines), by_line=True)
        return Decoder(Shape.declared(declared), max_record_bytes=1 << 20).decode([frame]).requests

    return read


@pytest.fixture
def work(folder: Path, shared: Callable[..., HostedModel]) -> Callable[..., Worker]:
    """A worker of the candidate `thirds` and the primary `parity`; its log is `folder / "e"`."""

    def make(
        source: Source,
        *,
        candidates: Sequence[str] = ("thirds",),
        primary: bool = True,
        declared: dict[str, str] | None = None,
        window: Window = Window(),  # noqa: B008 - frozen
        **settings: Any,
    ) -> Worker:
        hosts = [shared(f"models:{name}", VERSIONS[name]) for name in candidates]
        panel = Panel(hosts, shared("models:parity") if primary else None, 0.1, random.Random(1))
        options = ReplaySettings(**{"latency_per_s": 0.0, "latency_min": 0, "noise_frac": 0.1} | settings)
        shape = Shape.declared(declared or {})
        return Worker(source, PairLog(folder / "e"), panel, options, shape, window=window)

    return make


@pytest.fixture
def logged(folder: Path) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a table of the log, in the order of the traffic; none if it is not there."""

    def read(table: str = "pairs") -> list[dict[str, Any]]:
        path = folder / "e" / table
        if not path.exists():
            return []
        rows: list[dict[str, Any]] = DeltaTable(str(path)).to_pyarrow_table().to_pylist()
        return sorted(rows, key=lambda row: [row["source"][name] for name in ("partition", "offset", "line")])

    return read
