"""Lets the tests of reports import the two modules beside them: the samples, and a reader of HTML."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
