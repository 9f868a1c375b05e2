"""The chain of decision records, a file each under `decisions/`, append-only.

Each record names the digest of the one before, so that one that was changed or taken out shows.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

from gnomon_capture.errors import UnavailableError
from gnomon_diff.comparison import Comparison, Verdict, to_json
from gnomon_diff.decision import SCHEMA, Decision, decode_decision, digest_of, encode_decision
from gnomon_diff.settings import LabelSettings, Policy, policy_rules


class DecisionError(UnavailableError):
    """The chain of decisions is broken, or cannot be written.

    Attributes:
        path: the record where it shows.
    """

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


def read_decisions(folder: Path) -> list[Decision]:
    """All records, oldest first.

    Raises:
        DecisionError: a record is unreadable, missing, or not the one that its successor names.
    """
    decisions: list[Decision] = []
    previous: str | None = None
    for number, path in enumerate(sorted(folder.glob("*.json"))):
        data = path.read_bytes()
        try:
            decision = decode_decision(data)
        except ValueError as exc:
            raise DecisionError(path, f"no decision record ({exc}); restore it from a copy") from exc
        if decision.number != number or decision.previous != previous:
            raise DecisionError(
                path, "the chain is broken before this record; restore what was changed or removed"
            )
        decisions.append(decision)
        previous = digest_of(data)
    return decisions


def record_decision(
    folder: Path, comparison: Comparison, verdict: Verdict, policy: Policy, labels: LabelSettings
) -> Decision | None:
    """Appends a record if verdict, look, policy or candidate are not those of the last one.

    Returns:
        The new record; None where nothing changed.

    Raises:
        DecisionError: the chain is broken, or another process was quicker.
    """
    history = read_decisions(folder)
    last = history[-1] if history else None
    now = _what_counts(verdict)
    if last is not None and now == (last.verdict, last.look, last.policy_digest, last.candidate_digest):
        return None
    subject = comparison.subject
    decision = Decision(
        schema=SCHEMA,
        number=len(history),
        previous=None if last is None else digest_of(encode_decision(last)),
        made_at=comparison.generated_at.astimezone(datetime.UTC),
        experiment=subject.experiment,
        candidate_version=subject.candidate_version,
        candidate_digest=verdict.candidate_digest,
        primary_digest=verdict.primary_digest,
        policy_digest=verdict.policy_digest,
        policy=policy_rules(policy, labels),
        days=verdict.days,
        look=verdict.look,
        verdict=verdict.verdict,
        reason=verdict.reason,
        valid_until=verdict.valid_until,
        comparison_digest=digest_of(to_json(comparison, verdict)),
        human=None,
        gnomon_version=comparison.gnomon_version,
    )
    _write_new(folder, f"{decision.number:06d}.json", encode_decision(decision))
    return decision


def _what_counts(verdict: Verdict) -> tuple[str, int | None, str, str]:
    return verdict.verdict, verdict.look, verdict.policy_digest, verdict.candidate_digest


def _write_new(folder: Path, name: str, data: bytes) -> None:
    """Writes a file that must not be there yet, whole or not at all."""
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".part") as part:
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
            os.link(part.name, path)
    except FileExistsError as exc:
        raise DecisionError(path, "another gate recorded a decision at this moment; ask again") from exc
    except OSError as exc:
        raise DecisionError(
            path, f"cannot be written ({exc.strerror}); free some space or mend the rights"
        ) from exc
