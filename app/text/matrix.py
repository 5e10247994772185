"""A matrix of texts by terms, as the models take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import scipy.sparse as sp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Matrix:
    """A CSR matrix of texts by terms with 32-bit indices; a row's entries stand in scikit-learn's order."""

    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    values: NDArray[np.float64]
    width: int

    def scipy(self) -> sp.csr_matrix:
        """The same matrix for scikit-learn; shares the memory."""
        return sp.csr_matrix(
            (self.values, self.columns, self.starts), shape=(len(self.starts) - 1, self.width), copy=False
        )
