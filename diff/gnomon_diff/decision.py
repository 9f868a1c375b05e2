"""The decision record: what was decided, from what, after which record.

One JSON file a record under `<log>/<experiment>/decisions/`, append-only; each names the digest of the one
before, so that a record that was changed or taken out shows. A candidate gets one when its verdict, look or
policy changes, not on every poll. `judge` reads them as history: whose first look it is, and what sticks.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import msgspec

from gnomon_diff.comparison import Outcome, Value

SCHEMA = 1


class Decision(Value, frozen=True, kw_only=True):
    """One decision.

    Attributes:
        number: from 0, without gaps.
        previous: digest of the record before; null for the first.
        days: whole days there were when it was made.
        look: whole days of the look that decided, as in the verdict; null before the first.
        comparison_digest: sha256 of the `comparison.json` it was made from.
        policy: the rules, as `policy_digest` hashes them.
        human: who decided, and an override with name, reason and expiry; null while nobody did.
    """

    schema: int
    number: int
    previous: str | None
    made_at: datetime.datetime
    experiment: str
    candidate_version: str
    candidate_digest: str
    primary_digest: str | None
    policy_digest: str
    policy: dict[str, Any]
    days: int
    look: int | None
    verdict: Outcome
    reason: str
    valid_until: datetime.datetime | None
    comparison_digest: str
    human: dict[str, Any] | None
    gnomon_version: str


def encode_decision(decision: Decision) -> bytes:
    """The record's file: indented JSON, ending in a newline. Its digest is over these bytes."""
    return msgspec.json.format(msgspec.json.encode(decision), indent=2) + b"\n"


def decode_decision(data: bytes) -> Decision:
    """The record in a file.

    Raises:
        ValueError: it is none, or of a later schema.
    """
    schema = msgspec.json.decode(data, type=_SchemaOnly).schema
    if schema > SCHEMA:
        raise ValueError(f"its schema is {schema}, this gnomon reads up to {SCHEMA}: upgrade it")
    return msgspec.json.decode(data, type=Decision)


class _SchemaOnly(msgspec.Struct):
    schema: int


def digest_of(data: bytes) -> str:
    """`sha256:…` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
