"""Prometheus metrics: the ledger's figures, read when they are scraped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gnomon_capture import Mirror
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families


def scraped(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """What a Prometheus server reads, by name and the labels' values."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_a_scrape_says_what_the_ledger_says(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    rules = [{"frac": 0, "where": {"features.n": {"min": 5}}}]
    mirror = Mirror(f"spool:{tmp_path}", service="s", settings={"select": {"rules": rules}})
    mirror.register_metrics(registry)
    mirror.register_metrics(registry)  # again changes nothing
    for number in range(8):
        mirror.record({"n": number})
    mirror.record({"n": object()})
    mirror.close()
    mirror.record({"n": 9})
    values, at = scraped(registry), (mirror.process, "s")
    assert values["gnomon_mirror_seen_total", *at] == 10
    assert values["gnomon_mirror_mirrored_total", *at] == 5
    assert values["gnomon_mirror_not_selected_total", *at] == 3
    assert values["gnomon_mirror_dropped_total", mirror.process, "unencodable", "s"] == 1
    assert values["gnomon_mirror_dropped_total", mirror.process, "closed", "s"] == 1
    assert values["gnomon_mirror_waiting", *at] == values["gnomon_mirror_unacknowledged", *at] == 0
    assert values["gnomon_mirror_refused_total", *at] == values["gnomon_mirror_away", *at] == 0


def test_many_mirrors_may_show_theirs_in_one_registry(tmp_path: Path) -> None:
    registry = CollectorRegistry(auto_describe=True)
    with Mirror(f"spool:{tmp_path}") as one, Mirror(f"spool:{tmp_path}") as other:
        one.register_metrics(registry)
        other.register_metrics(registry)
        other.record({})
    values = scraped(registry)
    assert values["gnomon_mirror_seen_total", one.process, ""] == 0
    assert values["gnomon_mirror_seen_total", other.process, ""] == 1


def test_a_forked_child_shows_its_own_counts_under_its_own_name(tmp_path: Path) -> None:
    code = """
import os, sys
from prometheus_client import generate_latest
from gnomon_capture import Mirror
mirror = Mirror(sys.argv[1])
mirror.register_metrics()
for _ in range(3): mirror.record({"n": 1})
parent = mirror.process
if not (child := os.fork()):
    mirror.record({"n": 2})
    mirror.close()
    assert mirror.process != parent
    seen = [line for line in generate_latest().decode().splitlines() if line.startswith("gnomon_mirror_seen_total")]
    print(mirror.process, *seen, sep="\\n", flush=True)
    os._exit(0)
os.waitpid(child, 0)
mirror.close()
"""
    command = [sys.executable, "-W", "ignore", "-c", code, f"spool:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    process, *seen = done.stdout.splitlines()
    assert seen == [f'gnomon_mirror_seen_total{{process="{process}",service=""}} 1.0']


def test_without_prometheus_client_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from gnomon_capture import Mirror\n"
        "with Mirror(sys.argv[1]) as mirror: mirror.register_metrics()"
    )
    command = [sys.executable, "-c", code, f"spool:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("metrics need prometheus-client: pip install 'gnomon[metrics]'")


def test_metrics_are_not_loaded_unless_they_are_asked_for(tmp_path: Path) -> None:
    code = "import sys; from gnomon_capture import Mirror\nMirror(sys.argv[1]).close()\nprint(*sys.modules)"
    command = [sys.executable, "-c", code, f"spool:{tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "gnomon_capture.metrics" in done.stdout.split()
    assert "prometheus_client" not in done.stdout.split()
