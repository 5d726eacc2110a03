"""How a project reads in a plan: short ids, and a reason once for all that it keeps waiting."""

from __future__ import annotations

from reconciler.plan import Action, Cause, FieldChange, HostPlan, Plan, UnknownResource
from reconciler.render.lines import paint
from reconciler.render.markdown import plan_markdown
from reconciler.render.terminal import plan_lines
from reconciler.render.words import done_words
from tests.unit.render.sample import COMMIT

OLD, NEW = "a1" * 20, "b2" * 20
REASON = "there is no repository at /srv/git/site.git on the controller"


def release(*fields: tuple[str, str, str]) -> Plan:
    named = tuple(FieldChange(field=name, before=before, after=after) for name, before, after in fields)
    cause = Cause(why="commit", place="projects/site.yaml:3:9")
    action = Action(ref="release:site", action="change", cause=cause, fields=named)
    return Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),))


def test_a_deployment_reads_as_one_commit_after_another() -> None:
    plan = release(("commit", OLD, NEW), ("tree", OLD[:32], NEW[:32]))
    text = paint(plan_lines(plan))
    assert "  ~ release:site  change commit  projects/site.yaml:3:9\n      commit: a1a1a1a1a1 → b2b2b2b2b2\n" in text
    assert "tree" not in text
    assert "`commit`: `a1a1a1a1a1` → `b2b2b2b2b2`" in plan_markdown(plan)
    assert "tree" not in plan_markdown(plan)


def test_the_commits_that_come_are_a_list_of_their_own() -> None:
    (host,) = release(("commit", OLD, NEW)).hosts
    action = host.actions[0].model_copy(update={"notes": ("brings 1 commit:", "  b2b2b2b2b2 Say `hello` (Ada)")})
    text = plan_markdown(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),)))
    assert "  - `brings 1 commit:`\n    - ``b2b2b2b2b2 Say `hello` (Ada)``\n" in text


def test_files_without_a_commit_are_told_by_the_beginning_of_their_digest() -> None:
    text = paint(plan_lines(release(("commit_of", "none", "main"), ("tree", OLD[:32], NEW[:32]))))
    assert "      commit_of: none → main\n      tree: a1a1a1a1a1 → b2b2b2b2b2\n" in text


def blocked(*refs: str, reason: str = REASON) -> tuple[UnknownResource, ...]:
    return tuple(UnknownResource(ref=ref, reason=reason, place="projects/site.yaml:3:9", refused=True) for ref in refs)


def test_what_waits_for_the_same_reason_is_told_once() -> None:
    unknown = blocked("release:site", "slot:site/blue", "route:site")
    plan = Plan(commit=COMMIT, hosts=(HostPlan(host="nas", unknown=unknown),))
    text = paint(plan_lines(plan))
    assert f"  ! release:site, slot:site/blue, route:site  left as they are: {REASON}\n" in text
    assert "      nothing is done to them, nor to what needs them; projects/site.yaml:3:9\n" in text
    assert text.count(REASON) == 1
    assert "3 resources left as they are" in text
    assert plan_markdown(plan).count(REASON) == 1


def test_different_reasons_stay_apart() -> None:
    unknown = (*blocked("release:site"), *blocked("release:shop", reason="another"))
    text = paint(plan_lines(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", unknown=unknown),))))
    assert f"  ! release:site  left as it is: {REASON}\n" in text
    assert "  ! release:shop  left as it is: another\n" in text


def test_files_that_were_edited_are_named_once_and_put_back() -> None:
    (host,) = release(("edited", "a", "–"), ("missing", "b", "–")).hosts
    action = host.actions[0].model_copy(update={"notes": ("edited: a", "removed: b")})
    text = paint(plan_lines(Plan(commit=COMMIT, hosts=(HostPlan(host="nas", actions=(action,)),))))
    assert "  ~ release:site  put back files  projects/site.yaml:3:9\n      edited: a\n      removed: b\n\n" in text
    assert done_words(action) == "put back files"
