"""What a Prometheus sees: the loop as it is now, and what it has done so far. prometheus_client is spoken here alone.

`Metrics` listens to the loop and counts. What stands for the present (hosts, incidents, the source) is not kept but made anew
from a `Picture` each time somebody asks, so that what left the fleet leaves the metrics at the same moment. docs/api.md names
every metric, and a test holds it to that.

The number of series is bounded: hosts and projects beyond `MOST` are counted in the totals and have no series of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from desired.schema import EVENTS
from providers.secret import redact
from reconciler import __version__, log
from reconciler.history.rows import status_of
from reconciler.loop.following import Followed, FollowProblemKind
from reconciler.loop.report import CycleReport
from reconciler.loop.view import HostStatus, HostView, LoopView
from reconciler.serve.knows import Knows
from reconciler.text import shorten, visible

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
MOST = 1_000
"""Hosts, and pairs of project and result, with series of their own."""
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
HOOKS = ("accepted", "other", "replayed", "refused", "limited", "off")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment, taken on the loop's own thread; made into text in another."""

    view: LoopView
    ill: bool
    unready: bool
    incidents: dict[str, int]
    drifts: int
    alerts: dict[str, str]
    history: bool
    problems: Counter[str]
    counts: Counts


@dataclass(slots=True)
class Counts:
    """What only ever grows."""

    cycles: Counter[str]
    deployments: Counter[tuple[str, str]]
    hooks: Counter[str]
    buckets: Counter[float]
    """Upper bound → cycles that took no longer than it, and longer than the one before."""
    seconds: float = 0.0

    def copy(self) -> Counts:
        return Counts(self.cycles.copy(), self.deployments.copy(), self.hooks.copy(), self.buckets.copy(), self.seconds)


class Metrics:
    """An `Observer` of the loop. Also keeps each host's last cycle, which is what `/api/v1/plan/NAME` shows."""

    def __init__(self, knows: Knows | None = None) -> None:
        self.knows = knows or Knows()
        self.last: dict[str, CycleReport] = {}
        self._problems: Counter[str] = Counter()
        self._counts = Counts(Counter(), Counter(), Counter(), Counter())

    def followed(self, followed: Followed) -> None:
        self._problems = Counter(problem.kind for problem in followed.problems)
        if followed.fleet is None:
            return
        for host in self.last.keys() - followed.fleet.hosts.keys():
            del self.last[host]
        for key in [key for key in self._counts.deployments if key[0] not in followed.fleet.projects]:
            del self._counts.deployments[key]

    def began(self, report: CycleReport) -> None:
        """What has ended is counted."""

    def visited(self, report: CycleReport) -> None:
        self.last[report.host] = report
        counts = self._counts
        counts.cycles[status_of(report).replace(" ", "_")] += 1
        counts.seconds += report.seconds
        counts.buckets[next((bound for bound in BUCKETS if report.seconds <= bound), float("inf"))] += 1
        for project, result in deployed(report):
            counts.deployments[project, result] += 1

    def ticked(self, now: float) -> None:
        """Nothing is kept by time."""

    def hook(self, became: str) -> None:
        self._counts.hooks[became] += 1

    def picture(self, view: LoopView, ill: str | None, unready: str | None) -> Picture:
        return Picture(
            view,
            ill is not None,
            unready is not None,
            Counter(incident.event for incident in self.knows.incidents() if incident.closed is None),
            sum(drift.ended is None and drift.kind == "drift" for drift in self.knows.drifts()),
            dict(self.knows.alert_trouble()),
            self.knows.history_trouble() is not None,
            self._problems,
            self._counts.copy(),
        )

    @staticmethod
    def text(picture: Picture) -> bytes:
        """A registry of its own for each: nothing that another library registers gets in."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(picture))
        return generate_latest(registry)


def deployed(report: CycleReport) -> Iterator[tuple[str, str]]:
    """Projects whose release or slot was worked on in this cycle, with what became of it."""
    outcome = report.outcome
    if outcome is None:
        return
    back = {_project(ref) for ref in outcome.rolled_back}
    fates: dict[str, set[str]] = {}
    for ref, fate in outcome.fates.items():
        if project := _project(ref):
            fates.setdefault(project, set()).add(fate)
    for project, became in sorted(fates.items()):
        if project in back:
            yield project, "rolled_back"
        elif became & {"failed", "late"}:
            yield project, "failed"
        elif "done" in became:
            yield project, "done" if became <= {"done"} else "unfinished"


def _project(ref: str) -> str:
    """`release:site`, `slot:site/green` → `site`."""
    kind, _, name = ref.partition(":")
    return name.partition("/")[0] if kind in ("release", "slot") else ""


class _Collector:
    """From a picture to families of metrics."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def collect(self) -> Iterable[Metric]:
        yield from _process(self.picture)
        yield from _source(self.picture)
        yield from _hosts(self.picture.view.hosts)
        yield from _projects(self.picture)
        yield from _work(self.picture)


Samples = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, text: str, samples: Samples, *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"reconciler_{name}", text, labels=labels)
    for values, value in _distinct(samples):
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, samples: Samples, *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(f"reconciler_{name}", text, labels=labels)
    for values, value in _distinct(samples):
        family.add_metric(values, value)
    return family


def _distinct(samples: Samples) -> Iterable[tuple[tuple[str, ...], float]]:
    """Two long or secret names may look the same once they are harmless; the same series twice spoils the whole page."""
    return {tuple(_label(one) for one in values): value for values, value in samples}.items()


def _label(text: str) -> str:
    return shorten(visible(redact(text)), _LONGEST)


def _process(picture: Picture) -> Iterator[Metric]:
    yield _gauge("build_info", "Which program this is.", [((__version__,), 1)], "version")
    yield _gauge("healthy", "1: the loop turns.", [((), not picture.ill)])
    yield _gauge("ready", "1: there is a desired state to work from.", [((), not picture.unready)])
    yield _gauge("start_timestamp_seconds", "When the loop began.", [((), picture.view.began)])
    yield _gauge("turned_timestamp_seconds", "When the loop last turned.", [((), picture.view.turned)])
    yield _counter("log_lost", "Lines of the log that could not be written.", [((), log.lost())])
    yield _gauge("history_trouble", "1: the history cannot be written.", [((), picture.history)])


def _source(picture: Picture) -> Iterator[Metric]:
    source = picture.view.source
    if source.commit is not None:
        yield _gauge("fleet_commit_info", "The commit in force.", [((source.commit, source.branch), 1)], "commit", "branch")
    if source.read is not None:
        yield _gauge("fleet_read_timestamp_seconds", "When the repository was last read with success.", [((), source.read)])
    kinds = [((kind,), float(picture.problems[kind])) for kind in get_args(FollowProblemKind)]
    yield _gauge("fleet_problem", "Why what was found last cannot be used: problems of a kind.", kinds, "kind")


def _hosts(hosts: tuple[HostView, ...]) -> Iterator[Metric]:
    statuses = Counter(host.status for host in hosts)
    yield _gauge("hosts", "Hosts in a status.", [((one,), statuses[one]) for one in get_args(HostStatus)], "status")
    yield _gauge("hosts_without_series", "Hosts beyond the limit of series.", [((), max(0, len(hosts) - MOST))])
    shown = hosts[:MOST]
    yield _gauge(
        "host_status", "1 for the status that a host is in.", [((h.host, h.status), 1) for h in shown], "host", "status"
    )
    seen = [((h.host,), h.seen) for h in shown if h.seen is not None]
    yield _gauge("host_last_seen_timestamp_seconds", "When a host last answered.", seen, "host")
    numbers = (
        ("host_resources", "Resources asked for.", "resources"),
        ("host_drifted_resources", "Resources that the host moved away from what they should be.", "drifted"),
        ("host_pending_changes", "Changes that git asks for and that are not done yet.", "pending"),
        ("host_held_changes", "Changes that something holds back.", "held"),
        ("host_unknown_resources", "Resources that could not be looked at.", "unknown"),
    )
    for name, text, field in numbers:
        yield _gauge(name, text, [((h.host,), getattr(h, field)) for h in shown], "host")
    behind = [((h.host,), h.behind) for h in shown if h.behind is not None]
    yield _gauge("host_behind_commits", "Commits between what a host has and what is in force.", behind, "host")


def _projects(picture: Picture) -> Iterator[Metric]:
    counts = Counter((one.project, one.status) for host in picture.view.hosts for one in host.projects)
    text = "Hosts on which a project is in a status."
    yield _gauge("project_hosts", text, sorted(counts.items())[:MOST], "project", "status")
    results = sorted(picture.counts.deployments.items())[:MOST]
    yield _counter("deployments", "Deployments of a project to a host.", results, "project", "result")


def _work(picture: Picture) -> Iterator[Metric]:
    counts = picture.counts
    yield _counter("cycles", "Cycles of a host.", [((one,), number) for one, number in sorted(counts.cycles.items())], "result")
    yield _durations(counts)
    incidents = [((event,), picture.incidents.get(event, 0)) for event in EVENTS]
    yield _gauge("incidents_open", "Incidents that are open.", incidents, "event")
    yield _gauge("drifts_open", "Differences between hosts and git that hosts made, not put right yet.", [((), picture.drifts)])
    troubled = [((name,), 1) for name in sorted(picture.alerts)[:MOST]]
    yield _gauge("alert_trouble", "1: what this alert would say cannot be delivered.", troubled, "alert")
    hooks = [((became,), counts.hooks[became]) for became in HOOKS]
    yield _counter("hooks", "Requests to the hook for git.", hooks, "result")


def _durations(counts: Counts) -> HistogramMetricFamily:
    """Without a label for the host: eleven series for each would be many."""
    so_far, buckets = 0, []
    for bound in (*BUCKETS, float("inf")):
        so_far += counts.buckets[bound]
        buckets.append(("+Inf" if bound == float("inf") else str(bound), so_far))
    family = HistogramMetricFamily("reconciler_cycle_duration_seconds", "How long a cycle took.")
    family.add_metric([], buckets, counts.seconds)
    return family
