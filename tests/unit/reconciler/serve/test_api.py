"""`/api/v1/…`, asked over loopback. docs/api.md describes every field."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from reconciler.incidents.model import DriftRecord, Incident, Member
from reconciler.loop.view import HostView, LoopView, ProjectView, SourceView
from reconciler.serve.api import MOST, PATHS, ROOT, Asked, Refused, plan
from reconciler.serve.knows import Knows
from reconciler.serve.metrics import Metrics
from tests.unit.reconciler.serve.pages import DRIFT, INCIDENT, REPORT, VIEW, Pages, StillLoop, pages
from tests.unit.render.sample import NAS

DOCS = (Path(__file__).parents[4] / "docs" / "api.md").read_text()


def documented(section: str) -> set[str]:
    """The fields in the table of a section of docs/api.md."""
    text = re.split(r"\n#{2,3} ", DOCS.split(f" {section}\n", 1)[1])[0]
    return set(re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE))


class Cycle(BaseModel):
    run: str
    began: float


@dataclass
class Book:
    """Fulfils `Ledger`: a history of cycles that began at 1, 2, 3 …"""

    length: int = 5
    asked: list[dict[str, Any]] = field(default_factory=list)

    def cycles(self, *, before: float | None = None, limit: int = 50, **others: Any) -> Sequence[BaseModel]:
        self.asked.append(others)
        times = [time for time in range(self.length, 0, -1) if before is None or time < before]
        return [Cycle(run=f"{time:012x}", began=time) for time in times[:limit]]

    def cycle(self, run: str) -> BaseModel | None:
        return next((one for one in self.cycles(limit=self.length) if one.model_dump()["run"] == run), None)


async def follow(served: Pages, path: str, key: str) -> list[Any]:
    """All entries of a list, page by page."""
    entries: list[Any] = []
    following: str | None = path
    while following is not None:
        status, document, _ = await served.get(following)
        assert status == 200, document
        entries += document[key]
        following = document["next"]
    return entries


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("A host", HostView),
        ("A project on a host", ProjectView),
        ("The source", SourceView),
        ("A drift", DriftRecord),
        ("An incident", Incident),
        ("A member of an incident", Member),
    ],
)
def test_every_field_of_what_is_shown_is_documented_and_nothing_else(section: str, model: type[BaseModel]) -> None:
    shown = set(model.model_fields)
    if model is ProjectView:  # it stands under its project there
        shown = shown - {"project"} | {"host"}
    assert documented(section) == shown


async def test_every_document_is_documented_and_nothing_else() -> None:
    async with pages(reader=Book()) as served:
        for section, path in {
            "`GET /healthz`": "/healthz",
            "`GET /readyz`": "/readyz",
            "`GET /api/v1`": "/api/v1",
            "`GET /api/v1/status`": "/api/v1/status",
            "`GET /api/v1/hosts`": "/api/v1/hosts",
            "`GET /api/v1/projects`": "/api/v1/projects",
            "`GET /api/v1/drift`": "/api/v1/drift",
            "`GET /api/v1/incidents`": "/api/v1/incidents",
            "`GET /api/v1/history`": "/api/v1/history",
            "`GET /api/v1/plan/NAME`": "/api/v1/plan/nas",
            "Errors": "/api/v1/hosts/nobody",
        }.items():
            assert documented(section) == set((await served.get(path))[1]), section
        assert documented("A project") == set((await served.get("/api/v1/projects"))[1]["projects"][0])


async def test_the_index_lists_every_path_and_the_documentation_too() -> None:
    async with pages() as served:
        document = (await served.get(ROOT))[1]
    assert document["paths"] == [ROOT + path for path in PATHS]
    for path in PATHS:
        assert f"`GET {ROOT}{path.replace('{name}', 'NAME').replace('{run}', 'RUN')}`" in DOCS


async def test_the_status_says_in_a_few_numbers_how_it_is() -> None:
    async with pages(loop=StillLoop(illness="it has not turned for 90 s")) as served:
        document = (await served.get("/api/v1/status"))[1]
    assert document["healthy"] is False
    assert document["reason"] == "it has not turned for 90 s"
    assert (document["hosts"], document["drifts"], document["incidents"]) == (3, 1, 1)
    assert document["statuses"] == {"converged": 1, "drifted": 1, "unreachable": 1}
    assert document["source"] == VIEW.source.model_dump()


async def test_health_and_readiness_are_the_loops_own() -> None:
    """The port answers in all four cases."""
    async with pages() as served:
        assert (await served.get("/healthz"))[:2] == (200, {"healthy": True, "reason": ""})
        assert (await served.get("/readyz"))[:2] == (200, {"ready": True, "reason": ""})
        served.loop.illness = "it has not turned for 90 s"
        served.loop.lack = "no commit was read yet"
        assert (await served.get("/healthz"))[:2] == (503, {"healthy": False, "reason": "it has not turned for 90 s"})
        assert (await served.get("/readyz"))[:2] == (503, {"ready": False, "reason": "no commit was read yet"})


async def test_hosts_are_found_by_name_status_and_tag() -> None:
    async with pages() as served:
        assert (await served.get("/api/v1/hosts/web2"))[1]["problem"] == "no route"
        assert [one["host"] for one in (await served.get("/api/v1/hosts?status=drifted"))[1]["hosts"]] == ["nas"]
        assert [one["host"] for one in (await served.get("/api/v1/hosts?tag=prod"))[1]["hosts"]] == ["nas", "web2"]
        assert (await served.get("/api/v1/hosts?tag=none"))[1] == {"hosts": [], "total": 0, "next": None}


@pytest.mark.parametrize(
    ("path", "error", "hint"),
    [
        ("/api/v1/hosts/nsa", "there is no host nsa", "did you mean nas?"),
        ("/api/v1/plan/wbe1", "there is no host wbe1", "did you mean web1?"),
        ("/api/v1/plan/web1", "web1 was not asked yet since the loop began", "Its first cycle is due."),
        ("/api/v1/hosts/%1b%5B2J%0A", r"there is no host \x1b[2J\n", "GET /api/v1/hosts lists them."),
        ("/api/v1/history/feed", "there is no cycle feed in the history", "GET /api/v1/history lists them."),
        ("/api/v2", "there is nothing at /api/v2", "GET /api/v1 lists what there is."),
    ],
)
async def test_what_is_not_there_is_answered_with_what_was_probably_meant(path: str, error: str, hint: str) -> None:
    async with pages(reader=Book()) as served:
        assert (await served.get(path))[:2] == (404, {"error": error, "hint": hint})


async def test_the_last_plan_of_a_host_is_the_one_that_plan_prints() -> None:
    async with pages() as served:
        document = (await served.get("/api/v1/plan/nas"))[1]
    assert document["plan"] == json.loads(NAS.model_dump_json())
    assert (document["run"], document["status"], document["after"]) == (REPORT.run, "found", None)


async def test_a_project_is_shown_with_all_its_hosts() -> None:
    sites = (ProjectView(project="site", status="current"), ProjectView(project="site", status="failed"))
    hosts = tuple(
        HostView(host=name, projects=(site, ProjectView(project="blog"))) for name, site in zip("ab", sites, strict=True)
    )
    async with pages(loop=StillLoop(LoopView(hosts=hosts))) as served:
        site = (await served.get("/api/v1/projects?project=site"))[1]["projects"]
        assert [(one["project"], [(on["host"], on["status"]) for on in one["hosts"]]) for one in site] == [
            ("site", [("a", "current"), ("b", "failed")])
        ]
        assert [one["project"] for one in await follow(served, "/api/v1/projects?limit=1", "projects")] == ["blog", "site"]


async def test_only_open_drifts_and_incidents_are_shown_oldest_first() -> None:
    drifts = [DRIFT.model_copy(update={"id": f"d{n}", "first": 1000.0 - n, "ended": 1.0 if n == 2 else None}) for n in range(4)]
    pending = DRIFT.model_copy(update={"id": "p", "host": "web1", "kind": "pending", "first": 0.0})
    closed = INCIDENT.model_copy(update={"closed": 1.0})
    metrics = Metrics(Knows(incidents=lambda: (closed, INCIDENT), drifts=lambda: (*drifts, pending)))
    async with pages(metrics=metrics) as served:
        assert [one["id"] for one in await follow(served, "/api/v1/drift?limit=1", "drifts")] == ["p", "d3", "d1", "d0"]
        assert [one["id"] for one in await follow(served, "/api/v1/drift?host=nas&kind=drift", "drifts")] == ["d3", "d1", "d0"]
        assert await follow(served, "/api/v1/drift?ref=file:/nothing", "drifts") == []
        assert [one["id"] for one in await follow(served, "/api/v1/incidents", "incidents")] == [INCIDENT.id]
        assert await follow(served, "/api/v1/incidents?host=web1", "incidents") == []
        assert len(await follow(served, "/api/v1/incidents?host=nas&event=drift", "incidents")) == 1


async def test_history_is_read_page_by_page_newest_first() -> None:
    book = Book(7)
    async with pages(reader=book) as served:
        found = await follow(served, "/api/v1/history?limit=3&host=nas&project=site", "cycles")
        assert [one["began"] for one in found] == [7, 6, 5, 4, 3, 2, 1]
        assert all(asked["host"] == "nas" and asked["project"] == "site" for asked in book.asked)
        assert (await served.get("/api/v1/history/000000000003"))[1] == {"run": "000000000003", "began": 3}


async def test_a_loop_without_a_history_says_so() -> None:
    async with pages() as served:
        assert (await served.get("/api/v1/history"))[:2] == (404, {"error": "this loop keeps no history", "hint": ""})


async def test_a_list_of_any_length_is_read_whole_and_in_parts_of_a_bounded_size() -> None:
    hosts = tuple(HostView(host=f"h{number:04}") for number in range(1_234))
    async with pages(loop=StillLoop(LoopView(hosts=hosts))) as served:
        assert len((await served.get("/api/v1/hosts"))[1]["hosts"]) == 100
        found = await follow(served, f"/api/v1/hosts?limit={MOST}", "hosts")
    assert [one["host"] for one in found] == [host.host for host in hosts]


@pytest.mark.parametrize(
    "query", ["limit=501", "limit=-1", "limit=x", "limit=", "limit=²", "offset=-1", "offset=1e3", "hots=nas", "x[]=1"]
)
async def test_a_question_that_is_not_understood_is_not_answered_as_another_one(query: str) -> None:
    async with pages() as served:
        status, document, _ = await served.get(f"/api/v1/drift?{query}")
    assert status == 400
    assert document["error"]


async def test_a_parameter_is_named_as_it_was_probably_meant() -> None:
    async with pages() as served:
        assert (await served.get("/api/v1/drift?hots=nas"))[1]["hint"] == "did you mean host?"


@pytest.mark.parametrize("time", ["x", "nan", "inf", "-1", "1e300"])
async def test_a_time_that_is_none_is_refused(time: str) -> None:
    async with pages(reader=Book()) as served:
        assert (await served.get(f"/api/v1/history?before={time}"))[0] == 400


@given(
    st.text(st.characters(categories=None), max_size=40), st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=2)
)
def test_whatever_name_is_asked_for_the_answer_is_that_there_is_none(name: str, query: dict[str, str]) -> None:
    asked = Asked("/api/v1/plan/x", query, f"{name} ", VIEW, None, None, (), (), ({}, None), None)
    with pytest.raises(Refused) as refused:
        plan(asked)
    assert refused.value.status == (400 if query.keys() - {"limit", "offset"} else 404)
