"""The plan as people and programs see it: plain, serialisable, with every foreign text still raw (renderers escape it).

Made from drafts by `describe`; printed by `reconciler/render/`; saved by `plan --out`. Two plans of the same commit and the
same hosts are equal, which is how a saved plan is told from a stale one. The JSON form is documented in docs/plan-json.md
and only ever grows.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from providers.base import Model, Seq
from reconciler.draft import Draft, Planned, Refresh
from reconciler.text import plural
from reconciler.wording import field_words, wanted_fields

Sign = Literal["create", "change", "delete", "refresh"]


class Cause(Model):
    """Why something is planned.

    `why`: a commit asks for it; the host drifted from what was applied; an earlier attempt did not succeed; it left git; what
    it follows changes; its time has come (a soak is over).
    """

    why: Literal["commit", "drift", "unfinished", "pruned", "follows", "pending", "due"]
    place: str = ""
    """file:line:column in the repository, where there is one."""
    refs: Seq[str] = ()
    """For a refresh: what it follows."""


class FieldChange(Model):
    field: str
    before: str
    after: str


class Action(Model):
    """One line of the plan."""

    ref: str
    action: Sign
    verb: str = ""
    """For a refresh: restart, reload, run."""
    cause: Cause
    fields: Seq[FieldChange] = ()
    diff: Seq[str] = ()
    """A unified text diff, line by line."""
    notes: Seq[str] = ()
    removes: Seq[str] = ()
    """What goes away besides the resource itself."""
    brings: Seq[str] = ()
    unsure: str | None = None
    """Why the outcome cannot be known before the plan is applied."""
    deletions: Seq[str] = ()
    """What counts against the deletion budget."""
    held: str | None = None
    """Why it is shown and will not be applied."""


class UnknownResource(Model):
    ref: str
    reason: str
    place: str = ""
    refused: bool = False
    """It is known, and must not be done: what it should be cannot be had, or has failed before."""


class HostPlan(Model):
    """One host's part. With a `problem` nothing else is known about the host."""

    host: str
    problem: str | None = None
    problem_kind: Literal["unreachable", "key", "login", "become", "fault"] | None = None
    hint: str = ""
    to_copy: str = ""
    """What the hint ends with, to be copied as it is: the line that pins a host key."""
    intermittent: bool = False
    resources: int = 0
    """How many resources the repository asks for on this host."""
    applied: str | None = None
    """The commit that was applied last, as the host remembers it: drift is measured against it."""
    actions: Seq[Action] = ()
    unknown: Seq[UnknownResource] = ()
    released: dict[str, str] = Field(default_factory=dict)
    """What left the repository and stays on the host, with the reason."""
    notices: dict[str, Seq[str]] = Field(default_factory=dict)
    """Reference → what is worth telling of it and is left as it is: files in a deployed tree that are not ours."""
    warnings: Seq[str] = ()

    @property
    def deletions(self) -> tuple[str, ...]:
        """What would be deleted, by name."""
        return tuple(name for action in self.actions if action.held is None for name in action.deletions)

    def count(self, sign: Sign) -> int:
        return sum(action.action == sign and action.held is None for action in self.actions)

    @property
    def away(self) -> bool:
        """An intermittent host that is not there: nothing to act on."""
        return self.intermittent and self.problem_kind == "unreachable"

    def differing(self, other: HostPlan) -> tuple[str, ...]:
        """References of which something else would be done, or that stand in one of the two plans only.

        Why it is done does not count.
        """
        mine, theirs = self._by_ref(), other._by_ref()
        return tuple(sorted({name[0] for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)}))

    def _by_ref(self) -> dict[tuple[str, bool], object]:
        """A resource can be changed and refreshed in one plan."""
        found: dict[tuple[str, bool], object] = {
            (action.ref, action.action == "refresh"): action.model_copy(update={"cause": None}) for action in self.actions
        }
        return found | {(item.ref, False): item for item in self.unknown}


class Plan(Model):
    """The whole plan."""

    format: Literal[1] = 1
    commit: str | None = None
    """None: made from the working tree, and cannot be applied."""
    hosts: Seq[HostPlan] = ()
    revision: str = "HEAD"
    """The revision as it was named on the command line: when it has moved to another commit, a saved plan is stale."""
    hosts_asked: Seq[str] = ()
    """The hosts named on the command line; empty: all."""

    @property
    def changes(self) -> int:
        """How many actions would be done."""
        return sum(action.held is None for host in self.hosts for action in host.actions)

    @property
    def deletions(self) -> tuple[str, ...]:
        return tuple(
            f"{host.host} {name}"
            for host in self.hosts
            for action in host.actions
            if action.held is None
            for name in action.deletions
        )

    def summary(self) -> str:
        """`2 to create, 1 to change, 1 to delete, 1 to restart on 2 hosts`, or that there is nothing to do."""
        signs: tuple[tuple[Sign, str], ...] = (("create", "to create"), ("change", "to change"), ("delete", "to delete"))
        parts = [f"{count} {words}" for sign, words in signs if (count := sum(host.count(sign) for host in self.hosts))]
        verbs: dict[str, int] = {}
        for host in self.hosts:
            for action in host.actions:
                if action.action == "refresh" and action.held is None:
                    verbs[action.verb] = verbs.get(action.verb, 0) + 1
        parts += [f"{count} to {verb}" for verb, count in sorted(verbs.items())]
        touched = sum(any(action.held is None for action in host.actions) for host in self.hosts)
        return f"{', '.join(parts)} on {plural(touched, 'host')}" if parts else "nothing to do"


def describe(draft: Draft) -> HostPlan:
    """A host's draft in words."""
    warnings = []
    if draft.inventory.broken:
        warnings.append(
            f"the inventory on the host is not usable: {draft.inventory.broken}; nothing is removed until it is renewed"
        )
    return HostPlan(
        host=draft.host.name,
        intermittent=draft.host.availability == "intermittent",
        resources=len(draft.host.resources),
        applied=draft.inventory.record.commit,
        actions=tuple(_action(planned) for planned in draft.changes) + tuple(_refresh(item) for item in draft.refreshes),
        unknown=tuple(
            UnknownResource(ref=doubt.resource.ref, reason=doubt.reason, place=str(doubt.resource.place), refused=doubt.refused)
            for doubt in draft.doubts
        ),
        released=dict(draft.released),
        notices=dict(draft.notices),
        warnings=tuple(warnings),
    )


def _action(planned: Planned) -> Action:
    change, detail = planned.change, planned.change.detail
    # What is created has nothing to be compared with: it is shown with what the manifest says of it.
    given = change.spec.model_fields_set
    created = given.intersection(wanted_fields(change.after)) if change.before is None and change.after is not None else ()
    shown = change.fields or created
    fields = [field_words(name, getattr(change.before, name, None), getattr(change.after, name)) for name in sorted(shown)]
    return Action(
        ref=planned.ref,
        action=change.action,
        cause=Cause(why=planned.why, place=str(planned.resource.place)),
        fields=tuple(FieldChange(field=name, before=before, after=after) for name, before, after in fields),
        diff=detail.diff if detail else (),
        notes=detail.notes if detail else (),
        removes=detail.removes if detail else (),
        brings=detail.brings if detail else (),
        unsure=detail.unsure if detail else None,
        deletions=planned.deletions,
        held=planned.held,
    )


def _refresh(item: Refresh) -> Action:
    return Action(
        ref=item.ref,
        action="refresh",
        verb=item.provider.refresh_word(item.resource.spec),
        cause=Cause(why="pending" if item.pending else "follows", place=str(item.resource.place), refs=item.because),
        held=item.held,
    )
