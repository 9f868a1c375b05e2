"""The chain of decision records, a file each under `decisions/`, append-only.

Each record names the digest of the one before, so that one that was changed or taken out shows. (Of the
newest, which no other names, it does not.)
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
    """The chain of decisions is broken, or cannot be read or written.

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
    decisions, _ = _read(folder)
    return decisions


def record_decision(
    folder: Path, comparison: Comparison, verdict: Verdict, policy: Policy, labels: LabelSettings
) -> Decision | None:
    """Appends a record if verdict, look or policy are not those of this candidate's last one.

    Returns:
        The new record; None where nothing changed.

    Raises:
        DecisionError: the chain is broken or cannot be written, or another gate has meanwhile rejected what
            this one did not.
    """
    while True:
        history, previous = _read(folder)
        path = folder / f"{len(history):06d}.json"
        mine = [record for record in history if record.candidate_digest == verdict.candidate_digest]
        if mine and _what_counts(mine[-1]) == _what_counts(verdict):
            return None
        if verdict.verdict in ("PROMOTE", "HOLD") and any(
            record.verdict == "REJECT" and record.policy_digest == verdict.policy_digest for record in mine
        ):
            raise DecisionError(path, "another gate has rejected this candidate meanwhile; ask again")
        decision = _decision(len(history), previous, comparison, verdict, policy, labels)
        if _write_new(path, encode_decision(decision)):
            return decision


def _read(folder: Path) -> tuple[list[Decision], str | None]:
    """All records, and the digest of the newest, as its bytes stand."""
    decisions: list[Decision] = []
    previous: str | None = None
    for number, path in enumerate(sorted(folder.glob("*.json"))):
        try:
            data = path.read_bytes()
            decision = decode_decision(data)
        except OSError as exc:
            raise DecisionError(path, f"cannot be read ({exc.strerror}); mend the rights") from exc
        except ValueError as exc:
            raise DecisionError(path, f"no decision record ({exc}); restore it from a copy") from exc
        if decision.number != number or decision.previous != previous:
            raise DecisionError(
                path, "the chain is broken before this record; restore what was changed or removed"
            )
        decisions.append(decision)
        previous = digest_of(data)
    return decisions, previous


def _decision(
    number: int,
    previous: str | None,
    comparison: Comparison,
    verdict: Verdict,
    policy: Policy,
    labels: LabelSettings,
) -> Decision:
    subject = comparison.subject
    return Decision(
        schema=SCHEMA,
        number=number,
        previous=previous,
        made_at=comparison.generated_at.astimezone(datetime.UTC),
        experiment=subject.experiment,
        candidate_version=subject.candidate_version,
        candidate_digest=verdict.candidate_digest,
        primary_digest=verdict.primary_digest,
        policy_digest=verdict.policy_digest,
        policy=policy_rules(policy, labels, comparison.declared),
        days=verdict.days,
        look=verdict.look,
        verdict=verdict.verdict,
        reason=verdict.reason,
        valid_until=verdict.valid_until,
        comparison_digest=digest_of(to_json(comparison, verdict)),
        human=None,
        gnomon_version=comparison.gnomon_version,
    )


def _what_counts(decision: Decision | Verdict) -> tuple[str, int | None, str]:
    return decision.verdict, decision.look, decision.policy_digest


def _write_new(path: Path, data: bytes) -> bool:
    """Writes a file, whole or not at all; False where it is there already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part") as part:
            part.write(data)
            part.flush()
            os.fchmod(part.fileno(), 0o644)  # a temporary file's is for the owner alone
            os.fsync(part.fileno())
            os.link(part.name, path)
    except OSError as exc:
        if isinstance(exc, FileExistsError) and path.is_file():
            return False
        raise DecisionError(
            path, f"cannot be written ({exc.strerror}); free some space or mend the rights"
        ) from exc
    return True
