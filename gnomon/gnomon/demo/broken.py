"""The demo's broken candidate: the good one behind a feature pipeline with a fault that happens in real life.

After a change upstream, carrier MQ's `dep_delay` arrives in hours instead of minutes. The model is untouched,
and all other carriers are right, so overall figures move little.

This file is copied beside `candidate.skops` and runs in the candidate's process (`broken:predict`), where
only the model's own libraries are sure to be there: it imports nothing of gnomon.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import skops.io

_TRUSTED = ("sklearn.", "numpy.", "scipy.")


def predict(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer each flight in `frame` as the candidate would, had its carrier reported hours for minutes.

    Args:
        frame: the model's features, one row a flight, `dep_delay` in minutes; it is not modified.

    Returns:
        `label` (`late` or `on time`) and `score` (the probability of `late`, 0..1), a row each, in order,
        under the index of `frame`.
    """
    delay = frame["dep_delay"]
    seen = frame.assign(dep_delay=delay.mask(frame["carrier"].isin(["MQ"]), delay / 60))
    model = _candidate()
    probabilities = model.predict_proba(seen)
    return pd.DataFrame(
        {
            "label": model.classes_[probabilities.argmax(axis=1)],
            "score": probabilities[:, list(model.classes_).index("late")],
        },
        index=frame.index,
    )


@cache
def _candidate() -> Any:
    file = Path(__file__).with_name("candidate.skops")
    types = skops.io.get_untrusted_types(file=file)
    return skops.io.load(file, trusted=[name for name in types if name.startswith(_TRUSTED)])
