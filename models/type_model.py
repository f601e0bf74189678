"""All that was learned of one asset type: the anomaly ensemble; from failures, the failure model and the case base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from models.casebase import CASEBASE, CaseBase
from models.ensemble import Ensemble
from models.failure import FailureModel

_FAILURE = "failure"


@dataclass(frozen=True)
class TypeModel:
    """What the registry keeps as one version."""

    ensemble: Ensemble
    failure: FailureModel | None = None
    casebase: CaseBase | None = None

    @property
    def knows_failures(self) -> bool:
        """Whether any part can say of a failure mode how probable it is, calibrated on cases."""
        return self.failure is not None or (self.casebase is not None and bool(self.casebase.lines))

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder, without pickle."""
        self.ensemble.save(folder)
        if self.failure is not None:
            (folder / _FAILURE).mkdir()
            self.failure.save(folder / _FAILURE)
        if self.casebase is not None:
            (folder / CASEBASE).mkdir()
            self.casebase.save(folder / CASEBASE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote. Raises ``ValueError`` where a file can't be read."""
        failure = FailureModel.load(folder / _FAILURE) if (folder / _FAILURE).is_dir() else None
        casebase = CaseBase.load(folder / CASEBASE) if (folder / CASEBASE).is_dir() else None
        return cls(Ensemble.load(folder), failure, casebase)
