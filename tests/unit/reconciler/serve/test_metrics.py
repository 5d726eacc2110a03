"""What a Prometheus reads. The text is read back with prometheus_client's own parser, which is as strict as promtool."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from desired.model import Fleet
from providers.secret import Secret
from reconciler.cycle import Outcome
from reconciler.loop.following import Followed, FollowProblem
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostView, LoopView, ProjectView
from reconciler.serve.knows import Knows
from reconciler.serve.metrics import MOST, Metrics, deployed
from tests.unit.reconciler.serve.pages import INCIDENT, REPORT, StillLoop, metrics_of, pages, quiet
from tests.unit.render.sample import COMMIT

DOCS = (Path(__file__).parents[4] / "docs" / "api.md").read_text()
Sample = tuple[str, tuple[tuple[str, str], ...]]
HOSTILE = ['"', "\\", "\n", '"} 1\nevil 1', "\x1b[2J", "\udcff", "ü\u202e", "x" * 10_000, "", "{}", "a\\nb"]
NAMES = st.sampled_from(HOSTILE) | st.text(st.characters(categories=None), max_size=30)


def samples(text: bytes) -> dict[Sample, float]:
    """Name and labels → value. No series is there twice."""
    found = [
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    ]
    assert not [one for one, times in Counter(one for one, _ in found).items() if times > 1]
    return dict(found)


def read(
    metrics: Metrics, view: LoopView | None = None, ill: str | None = None, unready: str | None = None
) -> dict[Sample, float]:
    return samples(metrics.text(metrics.picture(view or StillLoop().view(), ill, unready)))


def value(found: dict[Sample, float], name: str, **labels: str) -> float | None:
    return found.get((f"reconciler_{name}", tuple(sorted(labels.items()))))


def followed(*hosts: str, problems: tuple[FollowProblem, ...] = (), projects: tuple[str, ...] = ()) -> Followed:
    fleet = Fleet(COMMIT, dict.fromkeys(hosts), projects=dict.fromkeys(projects))  # type: ignore[arg-type]
    return Followed(fleet, COMMIT, "", COMMIT, "ssh://forge/fleet", "main", 999.0, problems)


def worked_on(**fates: str) -> CycleReport:
    outcome = Outcome("converged", {ref.replace("__", ":"): fate for ref, fate in fates.items()})  # type: ignore[misc]
    return dataclasses.replace(REPORT, outcome=outcome)


def test_every_metric_is_documented_with_its_labels_and_nothing_else() -> None:
    metrics = metrics_of(worked_on(release__site="done"))
    metrics.knows = Knows(incidents=lambda: (INCIDENT,), alert_trouble=lambda: {"ops": "no answer"})
    families = text_string_to_metric_families(metrics.text(metrics.picture(StillLoop().view(), None, None)).decode())
    shown = {}
    for family in families:
        if family.name.startswith("reconciler_"):
            name = family.name + "_total" if family.type == "counter" else family.name
            shown[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    rows = re.findall(r"^\| `(reconciler_\w+)(?:\{([\w,]+)\})?` \|", DOCS, re.MULTILINE)
    assert shown == {name: set(labels.split(",")) - {""} for name, labels in rows}


def test_a_host_is_shown_with_its_status_its_numbers_and_when_it_answered() -> None:
    found = read(metrics_of())
    assert value(found, "host_status", host="nas", status="drifted") == 1
    assert value(found, "host_drifted_resources", host="nas") == 2
    assert value(found, "host_pending_changes", host="nas") == 1
    assert value(found, "host_behind_commits", host="nas") == 3
    assert value(found, "host_last_seen_timestamp_seconds", host="nas") == 1_000
    assert value(found, "host_last_seen_timestamp_seconds", host="web2") is None, "it never answered"
    assert value(found, "hosts", status="unreachable") == 1
    assert value(found, "hosts", status="failed") == 0
    assert value(found, "project_hosts", project="site", status="current") == 1


def test_cycles_are_counted_by_what_they_came_to_and_timed() -> None:
    metrics = metrics_of(quiet("nas", 0.2), quiet("nas", 0.3), quiet("web1", 20.0), quiet("web2", 2000.0, "no route"))
    found = read(metrics)
    assert value(found, "cycles_total", result="as_asked") == 3
    assert value(found, "cycles_total", result="unreachable") == 1
    assert [value(found, "cycle_duration_seconds_bucket", le=le) for le in ("0.25", "0.5", "30.0", "900.0", "+Inf")] == [
        1,
        2,
        3,
        3,
        4,
    ]
    assert value(found, "cycle_duration_seconds_count") == 4
    assert value(found, "cycle_duration_seconds_sum") == pytest.approx(2020.5)


@pytest.mark.parametrize(
    ("fates", "back", "result"),
    [
        ({"release:site": "done", "slot:site/green": "done"}, (), "done"),
        ({"release:site": "done", "slot:site/green": "failed"}, (), "failed"),
        ({"release:site": "late"}, (), "failed"),
        ({"release:site": "done", "slot:site/green": "skipped"}, (), "unfinished"),
        ({"release:site": "done", "slot:site/green": "failed"}, ("route:site", "slot:site/blue"), "rolled_back"),
    ],
)
def test_a_deployment_is_counted_once_for_each_host_with_its_end(
    fates: dict[str, str], back: tuple[str, ...], result: str
) -> None:
    outcome = Outcome("converged", fates, rolled_back=back)  # type: ignore[arg-type]
    report = dataclasses.replace(REPORT, outcome=outcome)
    assert list(deployed(report)) == [("site", result)]
    found = read(metrics_of(report, report))
    assert value(found, "deployments_total", project="site", result=result) == 2


def test_work_that_touches_no_project_is_no_deployment() -> None:
    assert list(deployed(worked_on(file__motd="done"))) == []
    assert list(deployed(worked_on(release__site="skipped"))) == []
    assert list(deployed(REPORT)) == []


def test_what_left_the_fleet_leaves_the_metrics() -> None:
    metrics = metrics_of(quiet("nas"), worked_on(release__site="done"), worked_on(release__blog="done"))
    metrics.followed(followed("web1", projects=("blog",)))
    found = read(metrics, LoopView(hosts=(HostView(host="web1"),)))
    assert not [labels for _, labels in found if ("host", "nas") in labels or ("project", "site") in labels]
    assert value(found, "deployments_total", project="blog", result="done") == 1
    assert metrics.last == {}


def test_problems_of_the_repository_are_shown_by_kind_until_they_are_gone() -> None:
    metrics = metrics_of()
    metrics.followed(
        followed(
            problems=(FollowProblem("invalid", "", "x"), FollowProblem("project", "a", "x"), FollowProblem("project", "b", "x"))
        )
    )
    found = read(metrics)
    assert [value(found, "fleet_problem", kind=kind) for kind in ("invalid", "project", "unreachable")] == [1, 2, 0]
    assert value(found, "fleet_commit_info", commit=COMMIT, branch="main") == 1
    metrics.followed(followed())
    assert value(read(metrics), "fleet_problem", kind="project") == 0


def test_before_anything_was_read_the_metrics_are_there_all_the_same() -> None:
    found = read(Metrics(), LoopView(), ill="it has not turned", unready="nothing was read yet")
    assert value(found, "healthy") == 0
    assert value(found, "ready") == 0
    assert value(found, "fleet_read_timestamp_seconds") is None


def test_trouble_with_alerts_and_history_is_shown() -> None:
    metrics = Metrics(Knows(alert_trouble=lambda: {"ops": "no answer"}, history_trouble=lambda: "disk full"))
    found = read(metrics)
    assert value(found, "alert_trouble", alert="ops") == 1
    assert value(found, "history_trouble") == 1
    assert value(read(Metrics()), "history_trouble") == 0


def test_open_incidents_are_counted_by_event() -> None:
    closed = INCIDENT.model_copy(update={"closed": 1.0})
    found = read(Metrics(Knows(incidents=lambda: (INCIDENT, INCIDENT, closed))))
    assert value(found, "incidents_open", event="drift") == 2
    assert value(found, "incidents_open", event="unreachable") == 0


def test_the_number_of_series_is_bounded_and_the_totals_stay_right() -> None:
    hosts = tuple(
        HostView(host=f"h{number}", status="converged", seen=1.0, projects=(ProjectView(project=f"p{number}"),))
        for number in range(MOST + 500)
    )
    metrics = Metrics(Knows(alert_trouble=lambda: {f"a{number}": "x" for number in range(MOST + 500)}))
    for number in range(MOST + 500):
        metrics.visited(dataclasses.replace(worked_on(**{f"release__p{number}": "done"}), host=f"h{number}"))
    found = read(metrics, LoopView(hosts=hosts))
    assert value(found, "hosts", status="converged") == MOST + 500
    assert value(found, "hosts_without_series") == 500
    of_a_kind = Counter(name for name, _ in found)
    assert max(of_a_kind.values()) == MOST


@given(host=NAMES, project=NAMES, alert=NAMES, branch=NAMES)
def test_no_name_breaks_the_text_or_forges_a_series(host: str, project: str, alert: str, branch: str) -> None:
    view = StillLoop().view()
    one = HostView(host=host, seen=1.0, behind=1, projects=(ProjectView(project=project),))
    source = view.source.model_copy(update={"branch": branch})
    metrics = Metrics(Knows(alert_trouble=lambda: {alert: alert}))
    metrics.visited(worked_on(**{f"release__{project}": "done"}))
    found = read(metrics, view.model_copy(update={"hosts": (one, one), "source": source}))
    assert not [name for name, _ in found if not name.startswith(("reconciler_", "process_"))]
    values = [text for _, labels in found for _, text in labels]
    assert all(len(text) <= 200 and "\x1b" not in text and "\n" not in text for text in values)
    assert len([name for name, _ in found if name == "reconciler_host_status"]) == 1


def test_a_secret_is_in_no_label() -> None:
    secret = Secret(b"whispered-to-the-host", "v1").text()
    metrics = Metrics(Knows(alert_trouble=lambda: {f"to {secret}": secret}))
    view = LoopView(hosts=(HostView(host=secret), HostView(host=f"{secret}"), HostView(host=f"a {secret}")))
    assert b"whispered" not in metrics.text(metrics.picture(view, None, None))


async def test_the_page_has_the_type_that_scrapers_expect_and_one_set_of_process_metrics() -> None:
    async with pages() as served:
        status, text, headers = await served.get("/metrics", Accept="application/openmetrics-text; version=1.0.0; q=ü,,;;=")
        assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        found = samples(text.encode())
        assert [name for name, _ in found].count("process_resident_memory_bytes") == 1
        assert samples((await served.get("/metrics"))[1].encode()).keys() == found.keys()
