"""Differences that do not count: never planned, never drift, never a reason for an apply to fail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desired.ignoring import fields_of, kinds_meant, matcher, words_of
from desired.policies import IgnoreRule
from providers.base import Spec, State
from providers.registry import PROJECT_PROVIDERS, PROVIDERS
from reconciler.cycle import settled_record
from reconciler.draft import draft
from reconciler.plan import describe
from tests.unit.reconciler.paper import Paper, directory, file, package, service
from tests.unit.reconciler.test_draft_projects import COMMIT, release, runtime

EVERY = (*PROVIDERS, *PROJECT_PROVIDERS)


def rule(resource: str, *fields: str, paths: tuple[str, ...] = ()) -> IgnoreRule:
    return IgnoreRule(resource=resource, fields=fields, paths=paths)


def paper_with(spec: Spec, state: State | dict[str, Any], *rules: IgnoreRule) -> Paper:
    """A host on which `spec` was applied and now is as `state` says."""
    paper = Paper(ignore=rules)
    paper.add(spec, "as asked", applied=True)
    there = paper.answers[spec.ref]
    assert isinstance(there, State)
    paper.answers[spec.ref] = state if isinstance(state, State) else there.model_copy(update=state)
    return paper


def differing(paper: Paper) -> list[set[str]]:
    return [set(item.change.fields) for item in paper.draft.changes]


def test_a_field_that_may_differ_is_in_no_plan() -> None:
    spec = file("/etc/motd", mode="0644", owner="root")
    moved = {"mode": "0600", "owner": "ada"}
    assert differing(paper_with(spec, moved)) == [{"mode", "owner"}]
    assert differing(paper_with(spec, moved, rule("file:/etc/*", "mode"))) == [{"owner"}]
    assert paper_with(spec, moved, rule("file:/etc/*", "mode"), rule("file:*", "owner")).draft.empty
    assert differing(paper_with(spec, moved, rule("file:/srv/*", "mode", "owner"))) == [{"mode", "owner"}]


def test_content_is_the_word_for_what_a_file_holds() -> None:
    assert paper_with(file("/etc/motd"), {"digest": "another"}, rule("file:/etc/motd", "content")).draft.empty


def test_without_fields_it_is_enough_that_it_is_there() -> None:
    spec, moved = file("/etc/motd", mode="0644"), {"digest": "another", "mode": "0600"}
    assert paper_with(spec, moved, rule("file:/etc/motd")).draft.empty
    missing = Paper(ignore=(rule("file:/etc/motd"),))
    missing.add(spec, "missing", applied=True)
    assert [item.change.action for item in missing.draft.changes] == ["create"]


def test_but_a_folder_in_the_place_of_a_file_is_no_file() -> None:
    assert differing(paper_with(file("/etc/motd"), {"type": "directory", "digest": None}, rule("file:/etc/motd"))) == [{"type"}]
    broken = paper_with(package("nginx"), {"status": "half-configured"}, rule("package:apt/nginx"))
    assert differing(broken) == [{"status"}]


def test_what_is_to_be_absent_is_removed_whatever_may_differ() -> None:
    paper = Paper(ignore=(rule("file:*"),))
    paper.add(file("/etc/motd", ensure="absent"), "as asked")
    assert [item.change.action for item in paper.draft.changes] == ["delete"]


def test_what_may_differ_is_not_changed_along_with_the_rest() -> None:
    spec = directory("/srv", purge=True)
    paper = paper_with(spec, {"mode": "0700", "extra": ("mine",)}, rule("directory:*", "extra"))
    (planned,) = paper.draft.changes
    assert planned.change.fields == {"mode"}
    assert planned.deletions == ()
    assert describe(paper.draft).deletions == ()


def test_a_content_that_not_everybody_may_read_is_not_shown_because_its_mode_may_differ() -> None:
    spec = file("/etc/key", mode="0644")
    (planned,) = paper_with(spec, {"mode": "0600", "digest": "another"}, rule("file:*", "mode")).draft.changes
    assert planned.change.before is not None
    assert planned.change.before.mode == "0600"
    assert planned.provider.look([planned.change]) is None


def test_a_service_may_be_started_and_stopped_by_hand() -> None:
    spec = service("nginx", running=True, enabled=True)
    assert paper_with(spec, {"running": False}, rule("service:nginx", "running")).draft.empty
    assert differing(paper_with(spec, {"running": False, "enabled": False}, rule("service:nginx", "running"))) == [{"enabled"}]


SITE: dict[str, Any] = {"edited": ("log/a.log", "index.html"), "missing": ("log/b.log",), "modes": ()}


def test_files_of_a_deployed_tree_may_differ_by_pattern() -> None:
    spec = release("site")
    assert differing(paper_with(spec, SITE)) == [{"edited", "missing"}]
    (planned,) = paper_with(spec, SITE, rule("release:site", paths=("*.log",))).draft.changes
    assert planned.change.fields == {"edited"}
    assert getattr(planned.change.before, "edited", None) == ("index.html",)
    assert paper_with(spec, SITE, rule("release:*", paths=("log/", "/index.html"))).draft.empty


def test_of_a_deployed_tree_another_revision_always_counts() -> None:
    other = SITE | {"tree": "2" * 32, "commit": "d" * 40}
    assert differing(paper_with(release("site"), other, rule("release:*"))) == [{"tree", "commit"}]
    assert paper_with(release("site"), SITE, rule("release:*")).draft.empty
    stopped = {"running": False, "services": {"command": "stopped"}}
    assert paper_with(runtime("site"), stopped, rule("runtime:site", "running", "services")).draft.empty
    assert differing(paper_with(runtime("site"), {"tree": "2" * 32}, rule("runtime:site"))) == [{"tree"}]


def test_what_may_differ_is_recorded_as_being_as_asked() -> None:
    spec = file("/etc/motd", mode="0644")
    paper = Paper(ignore=(rule("file:*", "mode"),))
    paper.add(spec, "as asked")
    there = paper.answers[spec.ref]
    assert isinstance(there, State)
    paper.answers[spec.ref] = there.model_copy(update={"mode": "0600"})
    record = settled_record(paper.draft, paper.draft, COMMIT)
    assert record.resources[spec.ref].digest == spec.digest()


@pytest.mark.parametrize(
    ("pattern", "kinds"),
    [
        ("file:/etc/motd", ["file"]),
        ("file:*", ["file"]),
        ("package:apt/*", ["apt"]),
        ("package:*", ["apt", "deb"]),
        ("s*:*", ["service", "slot", "symlink", "sysctl"]),
        ("release:site", ["release"]),
        ("fil:/etc/motd", []),
        ("*", sorted(provider.name for provider in EVERY)),
    ],
)
def test_a_pattern_means_the_kinds_that_it_could_match(pattern: str, kinds: list[str]) -> None:
    assert sorted(provider.name for provider in kinds_meant(pattern)) == kinds


@given(st.sampled_from(EVERY), st.text(max_size=8))
def test_every_word_of_a_kind_means_a_field_of_its_state(provider: Any, word: str) -> None:
    assert all(fields_of(provider, known) <= set(provider.state.model_fields) for known in words_of(provider))
    assert not fields_of(provider, word) or word in words_of(provider)


@given(st.text(max_size=12), st.text(max_size=20))
def test_any_pattern_matches_or_not_and_never_fails(pattern: str, ref: str) -> None:
    assert matcher(pattern)(ref) in (True, False)
    assert matcher("*")(ref)


def test_a_reference_is_matched_as_a_whole() -> None:
    assert matcher("file:/etc/*")("file:/etc/nginx/nginx.conf")
    assert not matcher("file:/etc")("file:/etc/motd")
    assert not matcher("file:/etc/*")("profile:/etc/x")


@given(st.lists(st.sampled_from(["mode", "owner", "group", "content"]), unique=True), st.data())
def test_what_is_planned_is_what_differs_and_may_not(ignored: list[str], data: st.DataObject) -> None:
    spec = file("/x", mode="0644", owner="root", group="root")
    moved = data.draw(st.dictionaries(st.sampled_from(["mode", "owner", "group", "digest"]), st.just("0")))
    names = {"digest" if name == "content" else name for name in ignored}
    found = differing(paper_with(spec, moved, *([rule("file:/x", *ignored)] if ignored else [])))
    assert found == ([set(moved) - names] if set(moved) - names else [])


SYNCED = [release("site"), runtime("site")]


@pytest.mark.parametrize("spec", SYNCED, ids=lambda spec: str(spec.kind))
@pytest.mark.parametrize(
    ("sync", "host", "drift", "commit"),
    [
        ("enforce", "observe", None, None),
        ("deploy", "enforce", "sync: deploy (drift is only reported)", None),
        ("observe", "enforce", "sync: observe", "sync: observe"),
        (None, "deploy", "sync: deploy (drift is only reported)", None),
        (None, "observe", "sync: observe", "sync: observe"),
    ],
)
def test_a_project_has_a_policy_of_its_own(spec: Spec, sync: Any, host: Any, drift: str | None, commit: str | None) -> None:
    mine = spec.model_copy(update={"sync": sync})
    paper = paper_with(mine, {"tree": "2" * 32})
    paper.sync = host
    assert [(item.why, item.held) for item in paper.draft.changes] == [("drift", drift)]
    paper.entries[mine.ref] = paper.entries[mine.ref].model_copy(update={"digest": "of another commit"})
    assert [(item.why, item.held) for item in paper.draft.changes] == [("commit", commit)]


def test_the_snapshot_itself_stays_as_the_host_told_it() -> None:
    paper = paper_with(file("/x", mode="0644"), {"mode": "0600"}, rule("file:*", "mode"))
    drafted = draft(paper.host, paper.draft.snapshot)
    answer = drafted.snapshot.answers["file:/x"]
    assert isinstance(answer, State)
    assert getattr(answer, "mode", None) == "0600"
