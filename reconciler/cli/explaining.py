"""What `reconcile why` does: from a reference to who asks for it, and to what happened. Called by `why.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from desired.git import fleet_folder, folder_in, open_repository
from desired.git_blame import Author, blame, dropped, removed
from desired.model import Fleet, Host, Place, Resource
from desired.project import Project
from desired.text import listing, meant
from reconciler.cli.loading import load_fleet, tell_uncommitted
from reconciler.cli.past import reader_in
from reconciler.cli.screen import Screen
from reconciler.errors import CommandError, Exit
from reconciler.explanation import Asker, Explanation, Past
from reconciler.history.reader import Reader
from reconciler.history.records import project_of
from reconciler.render import why as render

MOST = 200


def explain(folder: Path, word: str, screen: Screen, *, host: str | None, state: Path | None, as_json: bool) -> Exit:
    loaded, reader = load_fleet(folder), reader_in(state)
    _check_host(host, loaded.fleet, reader)
    found = tuple(_found(loaded.fleet, word, host))
    explanation = Explanation(word, loaded.fleet.commit, found, host=host, past=_past(reader, word, host))
    if found:
        explanation = replace(explanation, askers=tuple(_with_author(one, loaded.fleet, folder) for one in found))
    else:
        elsewhere = [name for asker in _found(loaded.fleet, word, None) for name in asker.hosts]
        if not elsewhere:
            explanation = replace(explanation, removed=_removed(loaded.fleet, folder, word))
        if explanation.removed is None and (explanation.past is None or not explanation.past.anything):
            raise _elsewhere(word, host, elsewhere) if elsewhere else _unknown(word, loaded.fleet, reader)
    if as_json:
        screen.document(render.why_document(explanation))
    else:
        screen.show_all(render.why_lines(explanation))
    tell_uncommitted(loaded.uncommitted, screen, "are not in this answer")
    return Exit.OK


def _check_host(host: str | None, fleet: Fleet, reader: Reader) -> None:
    if host is not None and host not in fleet.hosts and host not in (known := reader.known()[0]):
        raise CommandError(f'there is no host "{host}"', meant(host, {*fleet.hosts, *known}))


def _unknown(word: str, fleet: Fleet, reader: Reader) -> CommandError:
    if word in fleet.hosts:
        return CommandError(
            f"{word} is a host; why explains a resource or a project",
            f"name one, such as file:/etc/motd; what happened on the host: reconcile history {word}",
        )
    _, refs, projects = reader.known()
    asked = {resource.ref for host in fleet.hosts.values() for resource in host.resources}
    near = meant(word, {*asked, *fleet.projects, *refs, *projects}, " ").strip()
    return CommandError(f'nothing asks for "{word}", and nothing is known of it', near)


def _elsewhere(word: str, host: str | None, hosts: list[str]) -> CommandError:
    return CommandError(f"nothing asks for {word} on {host}", f"it is asked for on {listing(hosts)}")


def _found(fleet: Fleet, word: str, host: str | None) -> list[Asker]:
    """Those who ask for it, each place once, with the hosts for which it does."""
    if (project := fleet.projects.get(_project_in(word))) is not None:
        return [_project(project, host)]
    byplace: dict[Place, list[tuple[Host, Resource]]] = {}
    for one in fleet.hosts.values():
        for resource in one.resources:
            if resource.ref == word and host in (None, one.name):
                byplace.setdefault(resource.place, []).append((one, resource))
    return [_asker(place, asked, word) for place, asked in sorted(byplace.items())]


def _asker(place: Place, asked: list[tuple[Host, Resource]], word: str) -> Asker:
    return Asker(
        place=place,
        hosts=tuple(host.name for host, _ in asked),
        needs=_sorted(resource.needs - resource.follows for _, resource in asked),
        follows=_sorted(resource.follows for _, resource in asked),
        needed_by=_sorted({one.ref for one in host.resources if word in one.needs} for host, _ in asked),
        wanted="present" if all(resource.spec.present for _, resource in asked) else "absent",
        sync=next((resource.spec.sync for _, resource in asked if resource.spec.sync), None),
    )


def _project(project: Project, host: str | None) -> Asker:
    """A project is asked for by the line of its revision."""
    hosts = tuple(one.host for one in project.deployments if host in (None, one.host))
    return Asker(
        place=project.where(("revision",)),
        hosts=hosts,
        needs=tuple(sorted(project.settings.needs)),
        wanted=f"revision {project.settings.revision} of {project.settings.source}",
        sync=project.settings.sync,
    )


def _sorted(many: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({ref for refs in many for ref in refs}))


def _past(reader: Reader, word: str, host: str | None) -> Past | None:
    """None where there is no history."""
    if not reader.there:
        return None
    hosts, project = None if host is None else [host], _project_in(word)
    of = reader.of if ":" in word else reader.of_project
    actions = of(word, host=host, limit=MOST)
    refs = dict.fromkeys([word, *(action.ref for action in actions)])
    drifts = [one for ref in refs for one in reader.drifts(open_only=False, ref=ref, hosts=hosts, limit=MOST)]
    deployments = reader.deployments(project=project, host=host, limit=MOST) if project else ()
    return Past(tuple(actions)[::-1], tuple(sorted(drifts, key=lambda one: one.first)), tuple(deployments)[::-1])


def _project_in(word: str) -> str:
    """The project that is meant: by its own name, or by that of something that it consists of."""
    return project_of(word) if ":" in word else word


def _with_author(asker: Asker, fleet: Fleet, folder: Path) -> Asker:
    """With who wrote the line."""
    if fleet.commit is None:
        return asker
    repository = open_repository(folder)
    top = fleet_folder(repository, folder_in(repository, folder), fleet.commit)
    path = f"{top}/{asker.place.file}" if top else asker.place.file
    return replace(asker, blamed=blame(repository, fleet.commit, path, asker.place.line))


def _removed(fleet: Fleet, folder: Path, word: str) -> Author | None:
    """Who took it out of the repository."""
    if fleet.commit is None:
        return None
    repository = open_repository(folder)
    top = fleet_folder(repository, folder_in(repository, folder), fleet.commit)
    if project := _project_in(word):
        return dropped(repository, fleet.commit, f"{top}/projects/{project}.yaml" if top else f"projects/{project}.yaml")
    _, _, name = word.partition(":")
    return next((gone for one in _names(name) if (gone := removed(repository, fleet.commit, top, one))), None)


def _names(name: str) -> Iterator[str]:
    """The words under which a manifest may have named it: `package:apt/nginx` stands there as nginx."""
    if name:
        yield name
    if "/" in name[1:] and not name.startswith("/"):
        yield name.partition("/")[2]
