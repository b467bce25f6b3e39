"""What happens to a dataset, told to Prefect as an event that an automation can wait for."""

from __future__ import annotations

from prefect.events import emit_event

__all__ = ["CONTRACT_VIOLATED", "PROMOTED", "PROMOTION_REFUSED", "ROLLED_BACK", "tell"]

CONTRACT_VIOLATED = "digits.contract-violated"
PROMOTED, PROMOTION_REFUSED, ROLLED_BACK = "digits.promoted", "digits.promotion-refused", "digits.rolled-back"


def tell(event: str, *, dataset: str, message: str) -> None:
    """Tell Prefect that `event` has happened to a dataset, with a line for people."""
    resource = {"prefect.resource.id": f"digits.dataset.{dataset}", "prefect.resource.name": dataset}
    emit_event(event, resource=resource, payload={"message": message})
