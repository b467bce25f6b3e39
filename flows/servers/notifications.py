"""Automations of Prefect: what is told to whom, and what becomes of a run that has died without a word."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict

from flows.servers.dead_runs import SILENCE
from flows.servers.private import BY_HAND
from tasks.notices import CONTRACT_VIOLATED, PROMOTED, PROMOTION_REFUSED, ROLLED_BACK

__all__ = ["apply_automations"]

_BLOCK = "digits-notifications"

#: Name of the automation → the event of ours that it waits for, and the subject of what it sends.
_NOTICES = {
    "digits: contract violated": (CONTRACT_VIOLATED, "The contract of {{ event.resource.name }} is violated"),
    "digits: promotion refused": (PROMOTION_REFUSED, "A promotion for {{ event.resource.name }} was refused"),
    "digits: promoted": (PROMOTED, "A version for {{ event.resource.name }} was promoted"),
    "digits: rolled back": (ROLLED_BACK, "{{ event.resource.name }} was rolled back"),
}
#: Longer than any start takes: of an image that is pulled, of a process on a busy machine.
START = timedelta(minutes=10)

_TO_PEOPLE = "Tells whom DIGITS_NOTIFY_URL named when digits deploy was last called"
_RUN_FAILED, _RUN_DIED = "digits: run failed in {pool}", "digits: run died in {pool}"
_RUN_UNBORN = "digits: run did not start in {pool}"
#: What servers may still have of earlier versions.
_FORMER = ("digits: run failed", "digits: run died", "digits: run did not start")
_ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}


def apply_automations(client: SyncPrefectClient, *, pool: str, notify_url: str | None) -> list[str]:
    """Make the automations what they should be, and return their names.

    Parameters
    ----------
    client
        Who talks to the Prefect server.
    pool
        The work pool whose runs are watched.
    notify_url
        Where a JSON object with ``subject`` and ``text`` is posted to; None takes the notifications, and it, away.
    """
    of_pool = f"prefect.work-pool.{client.read_work_pool(pool).id}"
    wanted = [_died([of_pool, f"prefect.tag.{BY_HAND}"], pool), _unborn([of_pool], pool)]
    if notify_url is not None:
        block = _block(notify_url)
        wanted += [_failed([of_pool], pool, block), *(_notice(name, block) for name in _NOTICES)]
    names = [*(name.format(pool=pool) for name in (_RUN_DIED, _RUN_UNBORN, _RUN_FAILED)), *_NOTICES, *_FORMER]
    known = {name: client.read_automations_by_name(name) for name in names}
    for automation in wanted:
        if not (found := known.pop(automation.name)):
            client.create_automation(automation)
        elif not _same(automation, found[0]):  # a change makes Prefect forget the runs that it waits for
            client.update_automation(found[0].id, automation)
    for found in known.values():
        for automation in found:
            client.delete_automation(automation.id)
    if notify_url is None:
        _forget_block(client)
    return [automation.name for automation in wanted]


def _same(wanted: AutomationCore, known: AutomationCore) -> bool:
    """Return whether an automation that the server has is the wanted one, ids of its own aside."""
    fields = AutomationCore.model_fields
    return wanted == AutomationCore.model_validate(known.model_dump(include=set(fields)))


def _block(url: str) -> UUID:
    """Return the id of the block that posts to an address, which Prefect keeps as a secret and shows to nobody."""
    block = CustomWebhookNotificationBlock(
        name=_BLOCK,
        url="{{url}}",
        json_data={"subject": "{{subject}}", "text": "{{body}}"},
        headers=None,
        cookies=None,
        secrets=SecretDict({"url": url}),
    )
    return UUID(str(block.save(_BLOCK, overwrite=True)))


def _forget_block(client: SyncPrefectClient) -> None:
    """Delete the block, and with it the address, unless runs of another pool are told of there."""
    try:
        block = client.read_block_document_by_name(_BLOCK, CustomWebhookNotificationBlock.get_block_type_slug())
    except ObjectNotFound:
        return
    actions = [action for automation in client.read_automations() for action in automation.actions]
    if block.id not in {getattr(action, "block_document_id", None) for action in actions}:
        client.delete_block_document(block.id)


def _notice(name: str, block: UUID) -> AutomationCore:
    event, subject = _NOTICES[name]
    return AutomationCore(
        name=name,
        description=_TO_PEOPLE,
        trigger=EventTrigger(
            expect={event},
            match=ResourceSpecification({"prefect.resource.id": "digits.dataset.*"}),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[SendNotification(block_document_id=block, subject=subject, body="{{ event.payload.message }}")],
    )


def _failed(of: list[str], pool: str, block: UUID) -> AutomationCore:
    return AutomationCore(
        name=_RUN_FAILED.format(pool=pool),
        description=_TO_PEOPLE,
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.id": of}),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="{{ flow_run.name }}: {{ flow_run.state.name }}",
                body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
            )
        ],
    )


def _died(of: list[str], pool: str) -> AutomationCore:
    alive = "prefect.flow-run.heartbeat"
    return _crashes(
        of,
        name=_RUN_DIED.format(pool=pool),
        description="A run that gives no sign of life any more is shown as crashed",
        after={alive, "prefect.flow-run.Running"},
        expect={alive, *_ENDS},
        within=SILENCE,
        message=f"No sign of life for {SILENCE.seconds} s: its process has died",
    )


def _unborn(of: list[str], pool: str) -> AutomationCore:
    return _crashes(
        of,
        name=_RUN_UNBORN.format(pool=pool),
        description="A run that a worker has taken and does not start is shown as crashed",
        after={"prefect.flow-run.Pending"},
        expect={"prefect.flow-run.Running", "prefect.flow-run.Scheduled", *_ENDS},
        within=START,
        message=f"Not started within {START.seconds // 60} minutes: the worker that took it has died",
    )


def _crashes(
    of: list[str], *, name: str, description: str, after: set[str], expect: set[str], within: timedelta, message: str
) -> AutomationCore:
    """Return what shows a run as crashed when, after an event of it, nothing that was expected comes in time.

    `of` are the ids of pools and tags, one of which such a run has.
    """
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            after=after,
            expect=expect,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification({"prefect.resource.id": of}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                force=False,  # by the rules: its place under the concurrency limit is free again
                message=message,
            )
        ],
    )
