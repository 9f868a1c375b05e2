"""A scikit-learn model whose predictions are mirrored, wherever it is asked.

python docs/examples/estimator.py
"""

import os

import pandas as pd
from sklearn.linear_model import LogisticRegression

import gnomon

flights = pd.DataFrame({"dep_delay": [1.0, 60.0, 5.0, 90.0], "distance": [1400, 200, 900, 700]})
fitted = LogisticRegression().fit(flights, ["on_time", "late", "on_time", "late"])

with gnomon.Mirror(os.environ.get("TRAFFIC", "spool:traffic"), service="arrival-delay") as mirror:
    model = gnomon.MirroredEstimator(fitted, mirror, version="3.2", positive="late")
    print(model.predict_proba(flights).round(2))  # four rows, four records
    print(model.coef_)  # all else is the estimator's
