"""What one file of projects/ says that does not go together: a slot without a port of its own, a secret without its identity.

Called by `desired/projects.py` for each file alone, so that the findings are kept with the file. What needs the hosts and the
other projects is checked there. A check is left out where a value that it looks at was wrong by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from desired.deploy.dotenv import NAME as VARIABLE
from desired.files import Manifest
from desired.project import ProjectSettings, RuntimeSettings, tree_path
from desired.report import Report
from desired.sources.model import SourceProblem
from desired.sources.url import parse_location
from desired.text import meant, show, visible
from providers.tree import SENTINEL

ProjectManifest = Manifest[ProjectSettings]

_REVISION = re.compile(r"(?!-)[^\s~^:?*\[\\\x00-\x1f\x7f]+")
_IN_SLOTS = ("SLOT", "PORT")
_SYSTEM = frozenset(
    f"/{name}"
    for name in (
        *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "proc", "root", "run", "sbin", "sys", "tmp", "usr"),
        *("usr/bin", "usr/lib", "usr/local", "usr/local/bin", "usr/sbin", "usr/share", "var", "var/lib", "var/log"),
        *("etc/systemd", "etc/systemd/system", "var/run", "var/tmp"),
    )
)
"""Folders that are shared by everything on a host; what lies in one of them may well be a project's."""
_KERNELS = ("/dev/", "/proc/", "/sys/")
_MEMORY = "/var/lib/reconciler/"


def check_file(file: ProjectManifest, wrong: set[str], report: Report) -> None:
    """Adds to `report` what is wrong in `file`; `wrong` are the keys whose values could not be used."""
    for keys, check in _CHECKS:
        if wrong.isdisjoint(keys):
            check(file, report)


def _source(file: ProjectManifest, report: Report) -> None:
    try:
        location = parse_location(file.settings.source)
    except SourceProblem as problem:
        report.add(file.where("source"), str(problem), problem.hint)
        return
    if location.transport != "https":
        _foreign(file, report, "token", "only an https source takes one")
    if location.transport != "ssh":
        _foreign(file, report, "identity", "only an ssh source takes one")


def _foreign(file: ProjectManifest, report: Report, key: str, why: str) -> None:
    if getattr(file.settings, key) is not None:
        report.add(file.where_key(key), f"{key} has no meaning for this source: {why}", "delete the key")


def _deploys(file: ProjectManifest, report: Report) -> None:
    for index, deploy in enumerate(file.settings.deploy):
        place = file.where("deploy", index, "path")
        if deploy.path in _SYSTEM or deploy.path.startswith(_KERNELS):
            message = f"{visible(deploy.path, 60)} belongs to the system, and a project needs a folder of its own"
            report.add(place, message, f"write a path like /srv/{visible(file.name, 60)}")
        elif f"{deploy.path}/".startswith(_MEMORY):
            message = f"in {_MEMORY.rstrip('/')} reconciler keeps what it remembers of the host"
            report.add(place, message, f"write a path like /srv/{visible(file.name, 60)}")


def _revision(file: ProjectManifest, report: Report) -> None:
    revision = file.settings.revision
    if not _REVISION.fullmatch(revision) or ".." in revision or "@{" in revision:
        hint = "name a commit, a tag or a branch"
        report.add(file.where("revision"), f'revision: "{visible(revision, 60)}" cannot be a revision', hint)


def _slots(file: ProjectManifest, report: Report) -> None:
    settings = file.settings
    if settings.strategy != "slots":
        for key in ("slots", "proxy"):
            if getattr(settings, key) is not None:
                message = f"{key} belongs to strategy: slots, and this project has {settings.strategy}"
                report.add(file.where_key(key), message, "write strategy: slots, or delete the key")
        return
    if settings.slots is None:
        report.add(file.where("strategy"), "slots are missing", "add slots: {blue: {port: 8081}, green: {port: 8082}}")
    if settings.proxy is None:
        hint = "add proxy: with caddy, nginx, haproxy or command"
        report.add(file.where("strategy"), "slots need a proxy that gives one of them the traffic", hint)
    if settings.runtime == "none":
        report.add(file.where("runtime"), "nothing would run in the slots", "say what runs: compose, systemd or command")


def _two_slots(file: ProjectManifest, report: Report) -> None:
    slots = file.settings.slots
    if slots is None:
        return
    if slots.blue.port == slots.green.port:
        report.add(file.where("slots", "green", "port"), f"both slots have the port {slots.blue.port}", "give each its own")
    services = (slots.blue.service, slots.green.service)
    if None in services and services != (None, None):
        named, other = ("blue", "green") if slots.green.service is None else ("green", "blue")
        message = f"slots.{named} is a service of the compose file and slots.{other} is not"
        report.add(file.where("slots", named, "service"), message, f"name the service of {other} too, or of neither")
    elif services[0] is not None and services[0] == services[1]:
        message = f"both slots are the service {visible(services[0], 60)}: starting one would replace the other"
        report.add(file.where("slots", "green", "service"), message, "give each its own, or leave service out")
    for name, slot in (("blue", slots.blue), ("green", slots.green)):
        _variables(file, report, slot.env, "slots", name, "env")
        for variable in _IN_SLOTS:
            if variable in slot.env:
                place = file.where_key("slots", name, "env", variable)
                report.add(place, f"{variable} is set for each slot by itself", "delete the line")


def _unit(file: ProjectManifest, report: Report) -> None:
    runtime = file.settings.runtime
    if not isinstance(runtime, RuntimeSettings):
        return
    if runtime.systemd is None:
        if runtime.command is not None and file.settings.slots is not None and runtime.command.stop is None:
            hint = "add stop: the old slot has to be stopped one day, and a failed one at once"
            report.add(file.where("runtime", "command"), "a command in slots needs one to stop it", hint)
        return
    place = file.where("runtime", "systemd", "unit")
    template = runtime.systemd.name.endswith("@.service")
    if file.settings.strategy == "slots" and not template:
        stem = runtime.systemd.name.removesuffix(".service")
        message = f"two slots cannot share the unit {visible(runtime.systemd.name, 60)}"
        report.add(place, message, f"make it a template, {visible(stem, 60)}@.service: %i is the slot's name in it")
    elif file.settings.strategy != "slots" and template:
        message = f"{visible(runtime.systemd.name, 60)} is a template, and there are no slots to make units from it"
        report.add(place, message, "name a unit without @")


def _smokes(file: ProjectManifest, report: Report) -> None:
    if file.settings.strategy == "slots":
        return
    for index, smoke in enumerate(file.settings.smoke):
        if smoke.port is None:
            hint = "add port: the one that the project listens on, on the host"
            report.add(file.where("smoke", index), "without slots a smoke test has no port of its own", hint)


def _layout(file: ProjectManifest, report: Report) -> None:
    settings = file.settings
    if settings.strategy in ("releases", "slots"):
        return
    if settings.folder is not None:
        message = f"folder is a folder in each release, and with strategy: {settings.strategy} there are none"
        report.add(file.where_key("folder"), message, "delete the key, or write strategy: releases")
    if "keep" in settings.model_fields_set:
        message = f"keep has no effect: with strategy: {settings.strategy} there are no releases to keep"
        report.add(file.where_key("keep"), message, "delete the key", severity="warning")


def _environment(file: ProjectManifest, report: Report) -> None:
    _variables(file, report, file.settings.env, "env")
    _variables(file, report, file.settings.expect, "expect")


def _expected(file: ProjectManifest, report: Report) -> None:
    settings = file.settings
    if ".env" in settings.secrets:
        return  # what it holds is known when it is opened
    for name, wanted in settings.expect.items():
        if name not in settings.env and VARIABLE.fullmatch(name):
            message = f"expect: nothing sets {visible(name, 60)}"
            report.add(file.where_key("expect", name), message, meant(name, settings.env, "add it to env, or delete this line"))
        elif settings.env.get(name, wanted) != wanted:
            message = f"expect: {visible(name, 60)} is to be {show(wanted)}, and env: says {show(settings.env[name])}"
            report.add(file.where("expect", name), message, "mend one of them")


def _variables(file: ProjectManifest, report: Report, values: Mapping[str, str], *loc: str) -> None:
    for name in values:
        if not VARIABLE.fullmatch(name):
            message = f'"{visible(name, 60)}" cannot be the name of a variable'
            report.add(file.where_key(*loc, name), message, "letters, digits and underscores, not beginning with a digit")


def _secrets(file: ProjectManifest, report: Report) -> None:
    targets = []
    for target, secret in file.settings.secrets.items():
        place = file.where_key("secrets", target)
        try:
            straight = tree_path(target)
        except ValueError as error:
            report.add(place, f"secrets: {error}", "name a file of the project, as in .env")
            continue
        if straight != target:
            report.add(
                place, f'secrets: "{visible(target, 60)}" is not the plain form of a path', f"write {visible(straight, 60)}"
            )
        elif target == SENTINEL:
            report.add(place, f"secrets: {SENTINEL} is where the commit of the tree is noted", "choose another file")
        elif above := next(
            (shared for shared in file.settings.shared if f"{target}/".startswith(f"{shared.rstrip('/')}/")), None
        ):
            message = f"secrets: {visible(target, 60)} lies in {visible(above, 60)}, which is shared and never written to"
            report.add(place, message, "choose another file")
        else:
            targets.append(target)
        if not (secret.file.startswith("secrets/") and secret.file.endswith(".age")):
            message = f'"{visible(secret.file, 60)}" is no encrypted file of the fleet'
            report.add(file.where("secrets", target, "file"), message, "name one of secrets/*.age")
        _sealed(file, report, target)
    for target in targets:
        if inside := next((one for one in targets if one.startswith(f"{target}/")), None):
            message = f"secrets: {visible(target, 60)} is a file, and {visible(inside, 60)} would lie in it"
            report.add(file.where_key("secrets", inside), message, "choose another file")


def _sealed(file: ProjectManifest, report: Report, target: str) -> None:
    secret, place = file.settings.secrets[target], file.where("secrets", target)
    if not secret.sealed:
        if secret.identity is not None:
            message = "identity is for a file that stays encrypted on the host, and this one is opened on the controller"
            report.add(file.where_key("secrets", target, "identity"), message, "add sealed: true, or delete the key")
        elif target.endswith(".age"):
            hint = "add sealed: true, or take .age from the name"
            report.add(place, f"{visible(target, 60)} will not be encrypted on the host", hint, severity="warning")
        return
    if secret.identity is None:
        hint = "add identity: the path on the host of the age identity that opens it"
        report.add(place, f"nothing could open {visible(target, 60)} on the host", hint)
    if not target.endswith(".age"):
        key = file.where_key("secrets", target)
        report.add(key, f"{visible(target, 60)} stays encrypted on the host", f"call it {visible(target, 60)}.age")


_CHECKS: tuple[tuple[tuple[str, ...], Callable[[ProjectManifest, Report], None]], ...] = (
    (("source", "token", "identity"), _source),
    (("revision",), _revision),
    (("deploy",), _deploys),
    (("strategy", "slots", "proxy", "runtime"), _slots),
    (("slots",), _two_slots),
    (("runtime", "strategy", "slots"), _unit),
    (("smoke", "strategy"), _smokes),
    (("strategy", "folder", "keep"), _layout),
    (("env", "expect"), _environment),
    (("expect", "env", "secrets"), _expected),
    (("secrets", "shared"), _secrets),
)
"""The keys that a check looks at, and the check."""
