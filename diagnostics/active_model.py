"""The version of an asset type's models that scores, and the candidate beside it."""

from __future__ import annotations

from dataclasses import dataclass

from models.ensemble import Ensemble
from models.type_model import TypeModel


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """What was learned of an asset type, and the version that it is registered under."""

    learned: TypeModel
    version: str
    candidate: ActiveModel | None = None
    """A newer one that scores beside it and raises nothing, until it is trusted."""

    @property
    def ensemble(self) -> Ensemble:
        """The anomaly models."""
        return self.learned.ensemble

    @property
    def named(self) -> frozenset[str]:
        """What it and its candidate read by name, with what that is derived from."""
        features = [*self.ensemble.features, *(self.learned.failure.features if self.learned.failure else ())]
        named = frozenset(features) | {feature.rpartition(".")[0] for feature in features}
        return named | self.candidate.named if self.candidate is not None else named
