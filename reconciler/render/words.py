"""Words and signs that the terminal and Markdown share: what an action does and why it is there, as a person would say it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from reconciler.plan import Action, FieldChange, HostPlan, Plan, Sign, UnknownResource
from reconciler.text import plural

SIGNS: Mapping[Sign, str] = MappingProxyType({"create": "+", "change": "~", "delete": "-", "refresh": "↻"})
SHORT = 10
"""Digits of a commit id that are shown."""
_FILES = frozenset({"edited", "missing", "modes"})
"""Fields of a release that hold its files which are not as they were left."""
_DIGEST = re.compile(r"[0-9a-f]{32,64}")


def short(commit: str | None) -> str:
    return commit[:SHORT] if commit else "unknown"


def source_words(plan: Plan) -> str:
    """What the plan was made from."""
    return f"commit {short(plan.commit)}" if plan.commit else "the working tree"


def headline(action: Action) -> str:
    """What is done to the resource, in a few words."""
    if action.action == "refresh":
        return action.verb or "refresh"
    if ran(action):
        return "run"
    if action.action == "change" and action.fields and _FILES.issuperset(item.field for item in action.fields):
        return "put back files"
    if action.action == "change":
        return f"change {listing([item.field for item in told(action)])}" if action.fields else "change"
    return "create" if action.action == "create" else "remove"


def told(action: Action) -> list[FieldChange]:
    """The fields that say something to a person, ids and digests cut to what one compares by eye. That a tree is another one
    goes without saying where its commit is."""
    names = {item.field for item in action.fields}
    untold = {"tree"} if "commit" in names else set()
    if action.notes:  # which name the files, and say of how many
        untold |= _FILES
    return [
        FieldChange(field=item.field, before=_brief(item.before), after=_brief(item.after))
        for item in action.fields
        if item.field not in untold
    ]


def _brief(text: str) -> str:
    return text[:SHORT] if _DIGEST.fullmatch(text) else text


def alike(unknown: Sequence[UnknownResource]) -> list[list[UnknownResource]]:
    """Resources of which exactly the same is told, together: all of a project that is left as it is."""
    groups: dict[tuple[str, str, bool], list[UnknownResource]] = {}
    for item in unknown:
        groups.setdefault((item.reason, item.place, item.refused), []).append(item)
    return list(groups.values())


def doubt_words(items: Sequence[UnknownResource]) -> tuple[str, str]:
    """(sign, words) for resources of which the same is told."""
    if items[0].refused:
        return "!", "left as it is" if len(items) == 1 else "left as they are"
    return "?", "unknown"


def ran(action: Action) -> bool:
    """Whether the change is that a command runs: its one field is whether it was done."""
    return action.action == "change" and [item.field for item in action.fields] == ["done"]


def done_words(action: Action) -> str:
    """What was done to the resource: `created`, `changed mode`, `restarted`."""
    if action.action == "refresh" or ran(action):
        word = headline(action)
        return {"restart": "restarted", "reload": "reloaded", "run": "ran"}.get(word, f"{word} done")
    if action.action == "change":
        return headline(action).replace("change", "changed", 1)
    return "created" if action.action == "create" else "removed"


def listing(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A piece of a sentence that came from a repository or a host."""

    text: str


def summary_words(plan: Plan) -> tuple[str, list[str]]:
    """What the plan comes to, and what stands beside it. Of hosts that could not be asked it never says that there is nothing
    to do."""
    summary, parts = plan.summary(), beside(plan)
    asked = sum(host.problem is None for host in plan.hosts)
    if not plan.changes and asked < len(plan.hosts):
        summary = f"nothing to do on {plural(asked, 'host')}" if asked else parts.pop()
    return summary[:1].upper() + summary[1:], parts


def cause_words(action: Action, host: HostPlan, plan: Plan) -> list[str | Foreign]:
    """Why the action is in the plan: a sentence in pieces, so that a renderer can set off what is not ours."""
    cause = action.cause
    place: list[str | Foreign] = [", ", Foreign(cause.place)] if cause.place else []
    followed = _enumerated(cause.refs)
    match cause.why:
        case "commit":
            asker: list[str | Foreign] = ["commit ", Foreign(short(plan.commit))] if plan.commit else ["the working tree"]
            return ["because ", *asker, " asks for it", *place]
        case "drift":
            left: list[str | Foreign] = ["commit ", Foreign(short(host.applied))] if host.applied else ["an earlier run"]
            return ["drift: it is not what ", *left, " left", *place]
        case "unfinished":
            return ["an earlier attempt at this did not succeed", *place]
        case "pruned":
            return ["no longer in the repository, and we made it"]
        case "follows":
            return ["follows ", *followed]
        case "due":
            return ["its soak is over, or its release failed", *place]
        case "pending":
            return ["still due: ", *followed, " was changed by a run that broke off before"]


def _enumerated(refs: Sequence[str]) -> list[str | Foreign]:
    pieces: list[str | Foreign] = []
    for ref in refs:
        pieces += [", ", Foreign(ref)] if pieces else [Foreign(ref)]
    return pieces


def beside(plan: Plan) -> list[str]:
    """What stands beside the changes: counts of what is held back, unknown, or could not be asked."""
    counts = (
        (
            sum(action.held is not None for host in plan.hosts for action in host.actions),
            "change held back",
            "changes held back",
        ),
        (sum(not item.refused for host in plan.hosts for item in host.unknown), "resource unknown", "resources unknown"),
        (
            sum(item.refused for host in plan.hosts for item in host.unknown),
            "resource left as it is",
            "resources left as they are",
        ),
        (sum(host.problem is not None for host in plan.hosts), "host could not be asked", "hosts could not be asked"),
    )
    return [plural(count, one, many) for count, one, many in counts if count]


def problem_words(host: HostPlan) -> str:
    """The sort of problem that kept a host from being asked."""
    if host.problem_kind == "unreachable":
        return "away" if host.intermittent else "unreachable"
    words = {"key": "host key refused", "login": "login refused", "become": "no root", "fault": "not asked"}
    return words.get(host.problem_kind or "", "not asked")


def budget_words(plan: Plan, allowed: int) -> tuple[str, str] | None:
    """(what is wrong, what to do) when the plan deletes more than `allowed`."""
    count = len(plan.deletions)
    if count <= allowed:
        return None
    return (
        f"the plan makes {plural(count, 'deletion')}, and {allowed} {'is' if allowed == 1 else 'are'} allowed",
        f"if they are all meant: reconcile apply --allow-deletions {count}",
    )
