"""The models. Each module declares one; ``registry`` lists them, ``options`` is what a request may say of them.

Light: no scikit-learn and no numba before something is fitted, so that whoever plans a run can check it.
"""

from app.models.options import Options, check
from app.models.registry import MODELS, NAMES

__all__ = ["MODELS", "NAMES", "Options", "check"]
