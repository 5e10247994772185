"""The eight models as scikit-learn's estimators, and the peer's parameter names in scikit-learn's present words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

if TYPE_CHECKING:
    from app.models.grids import Grid

# PassiveAggressiveClassifier leaves scikit-learn with 1.10 and LogisticRegression's penalty with it. Their mathematics
# stays under other names: PA-I is the hinge's, PA-II the squared hinge's update, and the aggressiveness C is eta0.
# The peer's elasticnet names no l1_ratio, so it has the default 0 and is the same fit as l2.
RENAMED: dict[str, dict[str, tuple[str, dict[object, object]]]] = {
    "pac": {
        "C": ("eta0", {}),
        "loss": ("learning_rate", {"hinge": "pa1", "squared_hinge": "pa2"}),
    },
    "log": {"penalty": ("l1_ratio", {"l1": 1.0, "l2": 0.0, "elasticnet": 0.0})},
}


def estimator(model: str, seed: int) -> Any:
    """An unfitted scikit-learn classifier with the peer's fixed settings and a seed for those that draw numbers."""
    match model:
        case "pac":
            return SGDClassifier(loss="hinge", penalty=None, learning_rate="pa1", eta0=1.0, max_iter=100_000,
                                 random_state=seed)  # fmt: skip
        case "log":
            return LogisticRegression(solver="saga", max_iter=1_000_000, random_state=seed)
        case "mnb":
            return MultinomialNB()
        case "mlpc":
            return MLPClassifier(random_state=seed)
        case "svc":
            return SVC(random_state=seed)
        case "dt":
            return DecisionTreeClassifier(random_state=seed)
        case "kn":
            return KNeighborsClassifier()
        case "rf":
            return RandomForestClassifier(random_state=seed)
    raise KeyError(model)


def sklearn_grid(model: str, grid: Grid) -> Grid:
    """The same grid in scikit-learn's present words; the order of ``ParameterGrid`` over both is the same."""
    renamed = RENAMED.get(model, {})
    translated: Grid = {}
    for name, values in grid.items():
        new_name, words = renamed.get(name, (name, {}))
        translated[new_name] = [words.get(value, value) for value in values] if words else list(values)
    return translated


def sklearn_parameters(model: str, point: dict[str, object]) -> dict[str, object]:
    """One point in scikit-learn's present words."""
    return {name: values[0] for name, values in sklearn_grid(model, {n: [v] for n, v in point.items()}).items()}
