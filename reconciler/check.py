"""What is really deployed: per project and host the revision that the host itself shows, and how far it is from the source.

Pure: from a fleet and the drafts of a survey to plain reports, from nothing that was remembered. Called by
`reconcile project check` and `reconcile status`; `reconciler/render/deployed.py` words the reports. The JSON form is documented
in docs/deploying.md and only ever grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from desired.ignoring import overlook
from desired.model import Host
from desired.project import Deployment, Project
from providers.base import Model, Seq
from providers.blue_green import SLOTS, RouteState, SlotState
from providers.registry import provider_of
from providers.releases.model import ReleaseSpec, ReleaseState
from providers.runtimes import RuntimeState
from reconciler.draft import Draft
from reconciler.errors import Exit
from reconciler.fleet_run import HostRun
from reconciler.plan import Action, HostPlan
from reconciler.remembered import Remembered
from reconciler.render.words import told
from reconciler.text import plural

PATHS = 20
"""Paths of one sort that are named before the rest is only counted."""
Verdict = Literal["equal", "differs", "missing", "unknown", "unreachable", "away"]
HostState = Literal["converged", "held", "changes", "drift", "unknown", "unreachable", "away"]
Distance: TypeAlias = Callable[[str, str], tuple[int, int] | None]
"""From the commit that is there and the wanted one to (commits behind, commits ahead); None where it cannot be told."""


class SlotReport(Model):
    """One of the two slots."""

    slot: str
    tree: str | None = None
    """Digest of the release that it was last started with; None: it holds none."""
    commit: str | None = None
    """Of that release; None: it cannot be told."""
    running: bool | None = None
    traffic: bool = False


class Deployed(Model):
    """One project on one host."""

    project: str
    host: str
    path: str
    strategy: str
    verdict: Verdict
    """equal: the wanted revision, and nothing in it was touched. differs: another revision, or edited. missing: not deployed.
    unknown: it cannot be told. unreachable: the host could not be asked; away: it may be away."""
    revision: str
    """As the project's file, or --expect, names it."""
    wanted: str | None = None
    """The commit that `revision` is in the source now. None: the source could not be asked."""
    commit: str | None = None
    """The commit that is on the host, and has the traffic where there are slots."""
    behind: int | None = None
    """Commits of the wanted revision that the host lacks."""
    ahead: int | None = None
    """Commits of the host that the wanted revision lacks."""
    drift: Seq[str] = ()
    """What was edited, removed or changed on the host, in words."""
    added: Seq[str] = ()
    """Files in the deployed tree that are not the project's: they are left alone, and do not count as drift."""
    due: Seq[str] = ()
    """What the next apply would do here."""
    slots: Seq[SlotReport] = ()
    quarantine: int = 0
    """How many releases failed a smoke test here."""
    reason: str = ""
    hint: str = ""


class HostReport(Model):
    """One host, in `reconcile status`."""

    host: str
    state: HostState
    """The first of these that holds: unreachable or away, drift, changes (a commit asks for more), unknown, held (a commit asks
    for more, and policy holds it back), converged."""
    applied: str | None = None
    """The fleet's commit that was applied last."""
    behind: int | None = None
    """How many commits of the fleet came since; None where that cannot be told."""
    seen: float | None = None
    """When it answered last, in seconds since 1970: now, or as the loop remembers."""
    since: float | None = None
    """Since when it is so, where the loop has seen it so, too."""
    resources: int = 0
    changes: int = 0
    """What the next apply would do."""
    drift: Seq[str] = ()
    """References of what is not as we left it, also where policy holds the change back."""
    held: int = 0
    reasons: Seq[str] = ()
    """Why changes are held back, each once."""
    suspended: str = ""
    """Why nothing is changed there; empty where it is not suspended."""
    unknown: int = 0
    reason: str = ""
    hint: str = ""
    warnings: Seq[str] = ()


def references(name: str) -> frozenset[str]:
    """Everything of a project on a host that the project itself brings."""
    slots = {f"slot:{name}/{slot}" for slot in SLOTS}
    return frozenset({f"release:{name}", f"runtime:{name}", f"route:{name}"} | slots)


def host_report(run: HostRun) -> HostReport:
    plan = run.plan
    if plan is None or plan.problem is not None:
        name = run.host.name
        if plan is None:
            return HostReport(host=name, state="unreachable", reason="it was not asked")
        return HostReport(host=name, state=_absence(plan), reason=plan.problem or "", hint=plan.hint)
    drift = tuple(action.ref for action in plan.actions if action.cause.why == "drift")
    changes = sum(action.held is None for action in plan.actions)
    reasons = tuple(dict.fromkeys(action.held for action in plan.actions if action.held is not None))
    words: tuple[tuple[HostState, bool], ...] = (
        ("drift", bool(drift)),
        ("changes", bool(changes)),
        ("unknown", bool(plan.unknown)),
        ("held", bool(reasons)),
    )
    state: HostState = next((word for word, holds in words if holds), "converged")
    return HostReport(
        host=plan.host,
        state=state,
        applied=plan.applied,
        resources=plan.resources,
        changes=changes,
        drift=drift,
        held=len(plan.actions) - changes,
        reasons=reasons,
        unknown=len(plan.unknown),
        warnings=plan.warnings,
    )


def _absence(plan: HostPlan) -> Literal["unreachable", "away"]:
    return "away" if plan.away else "unreachable"


@dataclass(frozen=True, slots=True)
class Expected:
    """What `--expect` names."""

    revision: str
    commit: str


def deployed(
    project: Project, place: Deployment, run: HostRun, remembered: Remembered | None = None, expected: Expected | None = None
) -> Deployed:
    """What is there of one project on one host. `remembered`: what the host noted, which tells the commits of releases."""
    report = Deployed(
        project=project.name,
        host=place.host,
        path=place.path,
        strategy=project.settings.strategy,
        verdict="unknown",
        revision=expected.revision if expected is not None else project.settings.revision,
        wanted=expected.commit if expected is not None else _asked(project.name, run.host),
    )
    if run.draft is None or run.plan is None or run.plan.problem is not None:
        plan = run.plan or HostPlan(host=place.host, problem="it was not asked")
        return report.model_copy(update={"verdict": _absence(plan), "reason": plan.problem or "", "hint": plan.hint})
    looked = _Look(project.name, run.draft, run.plan, remembered or Remembered(), exactly=expected is None)
    found = looked.fill(report)
    waiting = next((slot.slot for slot in found.slots if not slot.traffic and slot.commit == found.wanted), None)
    if found.verdict == "differs" and waiting is not None and _pinned(project) not in (None, waiting):
        hint = f"{waiting} holds it and waits for a commit that switches: reconcile switch {project.name} {waiting}"
        return found.model_copy(update={"hint": hint})
    return found


def _pinned(project: Project) -> str | None:
    """The slot that holds the traffic by the repository's word."""
    slots = project.settings.slots
    return slots.active if slots is not None and slots.active != "auto" else None


def _asked(name: str, host: Host) -> str | None:
    """The commit that the repository asks for on the host now."""
    for resource in host.resources:
        if isinstance(resource.spec, ReleaseSpec) and resource.spec.name == name:
            return (resource.spec.commit or None) if resource.blocked is None else None
    return None


@dataclass(frozen=True, slots=True)
class _Look:
    """One project on a host that answered."""

    name: str
    draft: Draft
    plan: HostPlan
    remembered: Remembered
    exactly: bool
    """Whether all that the repository asks for counts, and not only an expected commit."""

    def fill(self, report: Deployed) -> Deployed:
        refs = references(self.name)
        slots = self._slots()
        commit = self._serving(report.strategy, slots)
        drift = self._drift(refs)
        due = [action.ref for action in self.plan.actions if action.ref in refs and action.held is None]
        release = self._answer("release")
        doubt = next((item.reason for item in self.draft.doubts if item.resource.ref in refs), "")
        found = report.model_copy(
            update={
                "commit": commit,
                "slots": slots,
                "drift": drift,
                "added": (release.added or ()) if isinstance(release, ReleaseState) else (),
                "due": tuple(due),
                "reason": doubt,
                "quarantine": len(self._quarantined()),
            }
        )
        if commit is None and not doubt and not self._absent:
            found = found.model_copy(update={"reason": _NOTHING_SERVES.get(report.strategy, "it does not say its commit")})
        as_left = not drift and not (self.exactly and self._unfinished(refs))
        return found.model_copy(update={"verdict": self._verdict(found, as_left=as_left)})

    def _verdict(self, found: Deployed, *, as_left: bool) -> Verdict:
        if found.commit is None and self._absent:
            return "missing"
        if found.commit is None or found.wanted is None:
            return "unknown"
        if found.commit != found.wanted:
            return "differs"
        if found.reason:
            return "unknown"
        return "equal" if as_left else "differs"

    def _answer(self, kind: str) -> Any:
        return self.draft.snapshot.answers.get(f"{kind}:{self.name}")

    @property
    def _absent(self) -> bool:
        """The host says so itself; that nobody asked it is something else."""
        ref = f"release:{self.name}"
        return ref in self.draft.snapshot.answers and self.draft.snapshot.answers[ref] is None

    def _unfinished(self, refs: frozenset[str]) -> bool:
        """Whether something has to be done before it is as asked; stopping a slot after its soak is not."""
        return any(action.ref in refs and action.cause.why != "due" for action in self.plan.actions)

    def _drift(self, refs: frozenset[str]) -> tuple[str, ...]:
        release = self._release()
        words = release_words(release) if isinstance(release, ReleaseState) else []
        for action in self.plan.actions:
            if action.ref in refs and action.cause.why == "drift" and not (words and action.ref == f"release:{self.name}"):
                words += drift_words(action)
        return tuple(words)

    def _release(self) -> Any:
        """The files that are deployed, as they count: what the repository says may differ is in order."""
        answer = self._answer("release")
        spec = next((one.spec for one in self.draft.host.resources if one.ref == f"release:{self.name}"), None)
        if not isinstance(answer, ReleaseState) or not isinstance(spec, ReleaseSpec) or not self.draft.host.ignore:
            return answer
        wanted = provider_of(spec.ref).want(spec)
        return answer if wanted is None else overlook(self.draft.host.ignore, spec.ref, answer, wanted)[0]

    def _slots(self) -> tuple[SlotReport, ...]:
        """The slots that there are, with what each holds."""
        route = self._answer("route")
        live = route.slot if isinstance(route, RouteState) else None
        found = []
        for slot in SLOTS:
            state = self.draft.snapshot.answers.get(f"slot:{self.name}/{slot}")
            if isinstance(state, SlotState):
                commit = self._commit_of(state.tree)
                report = SlotReport(slot=slot, tree=state.tree, commit=commit, running=state.running, traffic=slot == live)
                found.append(report)
        return tuple(found or self._noted_slots())

    def _noted_slots(self) -> Iterator[SlotReport]:
        """What the host noted, where its slots were not asked because it cannot be said what they should be."""
        if self._absent:
            return
        for slot, tree in sorted(self.remembered.slots.items()):
            commit = self.remembered.commit_of(tree)
            yield SlotReport(slot=slot, tree=tree, commit=commit, traffic=slot == self.remembered.route)

    def _serving(self, strategy: str, slots: tuple[SlotReport, ...]) -> str | None:
        """The commit that counts: of the slot with the traffic, of the release that is current, or of the one tree there is.
        What was not asked, because it cannot be said what it should be, is as the host noted it."""
        answers, noted = self.draft.snapshot.answers, self.remembered
        runtime, release = self._answer("runtime"), self._answer("release")
        if self._absent:
            return None
        if strategy == "slots":
            return next((slot.commit for slot in slots if slot.traffic), None)
        if strategy == "releases":
            asked = f"runtime:{self.name}" in answers
            current = runtime.current if isinstance(runtime, RuntimeState) else None
            return self._commit_of(current if asked else noted.runtime)
        if isinstance(release, ReleaseState):
            return _commit(release.commit)
        known = set(noted.releases.values()) if f"release:{self.name}" not in answers else set()
        return known.pop() if len(known) == 1 else None

    def _commit_of(self, tree: str | None) -> str | None:
        release = self._answer("release")
        if tree is not None and isinstance(release, ReleaseState) and release.tree == tree:
            return _commit(release.commit)
        return self.remembered.commit_of(tree)

    def _quarantined(self) -> frozenset[str]:
        route = self._answer("route")
        told = route.quarantine if isinstance(route, RouteState) else None
        return frozenset(self.remembered.quarantine) | frozenset(told or ())


_NOTHING_SERVES = {"slots": "no slot is known to have the traffic", "releases": "no release is known to be current"}


def _commit(text: str | None) -> str | None:
    """A release says "none" where it holds no commit that could be told."""
    return text if text and text != "none" else None


def release_words(state: ReleaseState) -> list[str]:
    """What was done to the files of a deployed tree, in words."""
    sorts = (("edited", state.edited), ("missing", state.missing), ("with other permissions or owner", state.modes))
    words = [f"{word}: {paths_words(paths)}" for word, paths in sorts if paths]
    if state.touched:
        words.append(f"{plural(state.touched, 'more file')} may have been edited: look closer with --deep")
    return words


def paths_words(paths: Sequence[str]) -> str:
    more = len(paths) - PATHS
    return ", ".join(paths[:PATHS]) + (f" and {more} more" if more > 0 else "")


def drift_words(action: Action) -> list[str]:
    """What was done to another resource on the host, as far as the probe saw it."""
    if action.action == "create":
        return [f"{action.ref} is gone"]
    return [f"{action.ref}: {item.field} is {item.before}, not {item.after}" for item in told(action)] or [action.ref]


def with_distance(report: Deployed, distance: Distance) -> Deployed:
    """How many commits lie between what is there and what is wanted."""
    if report.commit is None or report.wanted is None:
        return report
    found = (0, 0) if report.commit == report.wanted else distance(report.commit, report.wanted)
    return report if found is None else report.model_copy(update={"behind": found[0], "ahead": found[1]})


def exit_code(reports: Iterable[Deployed]) -> Exit:
    """3 where something is not what it should be, 4 where a host could not be asked; one that may be away does not count."""
    verdicts = {report.verdict for report in reports}
    if verdicts & {"differs", "missing", "unknown"}:
        return Exit.FAILED
    return Exit.UNREACHABLE if "unreachable" in verdicts else Exit.OK


def status_code(hosts: Iterable[HostReport], reports: Iterable[Deployed]) -> Exit:
    """The same for hosts as a whole."""
    states = {host.state for host in hosts}
    code = exit_code(reports)
    if states & {"changes", "drift", "unknown"} or code is Exit.FAILED:
        return Exit.FAILED
    return Exit.UNREACHABLE if "unreachable" in states else code
