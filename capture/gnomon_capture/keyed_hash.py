"""Values hashed under a secret: equal ones stay equal, and nobody without the secret can try values out."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any

import msgspec

from gnomon_capture.encoder import as_text
from gnomon_capture.errors import SettingsError
from gnomon_capture.record import plain
from gnomon_capture.redact_settings import RedactSettings

_HASH_DIGITS = 32  # of 64: half of a SHA-256, which RFC 2104 allows, is enough to tell 10^18 values apart
_SECRET_BYTES = 16


def builtins(value: Any) -> Any:
    """A copy in dicts, lists and scalars, whatever JSON's encoder would have taken, so that names can be found."""
    return msgspec.to_builtins(value, enc_hook=plain, str_keys=True)


class KeyedHash:
    """HMAC-SHA256 of a value's text, its first 32 hexadecimal digits; equal values are equal under it."""

    def __init__(self, secret: bytes) -> None:
        self._fresh = hmac.new(secret, digestmod="sha256")

    def __call__(self, value: Any) -> str | None:
        text = value
        if value.__class__ is not str:
            value = builtins(value)
            if isinstance(value, (dict, list, tuple)):
                text = msgspec.json.encode(value, order="deterministic").decode()
            else:
                text = as_text(value)
            if text is None:
                return None
        keyed = self._fresh.copy()
        keyed.update(text.encode("utf-8", "surrogatepass"))
        return keyed.hexdigest()[:_HASH_DIGITS]


def read_secret(settings: RedactSettings) -> bytes:
    """The secret that is named.

    Raises:
        SettingsError: it is not there, cannot be read, or is too short. The message does not hold it.
    """
    if settings.secret_env is not None:
        place, name = "capture.redact.secret_env", settings.secret_env
        secret = os.environ.get(name, "").encode("utf-8", "surrogateescape")
        if not secret:
            raise SettingsError(place, f"the environment variable {name} is not set; put the secret there")
    else:
        place, name = "capture.redact.secret_file", settings.secret_file or ""
        try:
            secret = Path(name).read_bytes().rstrip(b"\r\n")
        except OSError as exc:
            raise SettingsError(place, f"{name} cannot be read: {exc.strerror}") from exc
    if len(secret) < _SECRET_BYTES:
        hint = "make one by `openssl rand -hex 32`"
        raise SettingsError(place, f"the secret in {name} has fewer than {_SECRET_BYTES} bytes; {hint}")
    return secret
