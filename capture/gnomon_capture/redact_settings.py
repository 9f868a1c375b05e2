"""`[capture.redact]`: what never leaves the process as it is."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec

from gnomon_capture.errors import SettingsError
from gnomon_capture.paths import flattened, parse_path
from gnomon_capture.strict import Settings, check_key, tried

_ACTIONS = ("drop", "mask", "hash")


class RedactSettings(Settings, frozen=True, kw_only=True):
    """`[capture.redact]`: what never leaves the process as it is.

    Attributes:
        fields: by path, what is done: `drop`, `mask` (text becomes `***`, all else null), `hash` (HMAC-SHA256
            under the secret) or `{ truncate = 8 }` (text keeps its first characters, all else becomes null).
        allow: paths of what may leave as it is; once given, a field named neither here nor in `fields` never
            leaves. `features` alone allows all features. `ts`, `service` and the numbers always leave.
        secret_env: the environment variable that holds the secret for `hash`, of at least 16 bytes.
        secret_file: the file that does; line ends after it are left out.
    """

    fields: dict[str, Any] = msgspec.field(default_factory=dict)
    allow: tuple[str, ...] | None = None
    secret_env: str | None = None
    secret_file: str | None = None

    def check(self, path: str) -> None:
        actions = flattened(self.fields)
        for name, action in actions.items():
            _check_action(name, action, f"{path}.fields")
        for name in self.allow or ():
            if tried(f"{path}.allow", parse_path, name).root == "service":
                raise SettingsError(f"{path}.allow", "`service` always leaves; leave it out")
        if self.secret_env is not None and self.secret_file is not None:
            raise SettingsError(f"{path}.secret_file", "name the secret's variable or its file, not both")
        if "hash" in actions.values() and self.secret_env is None and self.secret_file is None:
            raise SettingsError(
                path, "`hash` needs a secret; name its variable by `secret_env`, or `secret_file`"
            )


def _check_action(name: str, action: Any, path: str) -> None:
    place = tried(path, parse_path, name)
    path = f"{path}.{name}"
    if isinstance(action, Mapping):
        for key in action:
            check_key(path, key, ("truncate",))
        count = action.get("truncate")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise SettingsError(path, "write how many characters stay: { truncate = 8 }")
        action = "truncate"
    elif action not in _ACTIONS:
        near = difflib.get_close_matches(str(action), _ACTIONS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "write drop, mask, hash or { truncate = 8 }"
        raise SettingsError(path, f"{action!r:.40} cannot be done to a field; {hint}")
    if place.root == "service":
        raise SettingsError(path, "the service's name is the mirror's own; give it another one")
    numbers = place.root == "served" and place.names and place.names[0] in ("score", "scores", "latency_us")
    whole = place.root in ("features", "attributes", "served") and not place.names
    if (numbers or whole) and action != "drop":
        raise SettingsError(path, f"`{name}` can only be dropped: {action} would leave text in its place")
    if place.root in ("key", "request_id") and action == "mask":
        raise SettingsError(path, f"mask would give all the same {name}; write hash or drop")
    if place.root == "request_id" and action == "truncate":
        raise SettingsError(path, "a shortened id names several requests; write hash or drop")
