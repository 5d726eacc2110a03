"""Services, timers, sockets and other units of systemd: whether they run, start at boot, or are masked.

One `systemctl show` answers for all units of the system, and one more for those of each user. A unit is never created or
removed here (a package or a file does that); what is managed is what becomes of it. The shell is in `services_shell.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from providers.account import AccountName
from providers.base import Answer, Change, Facts, Provider, Spec, State, Step, Unknown
from providers.services_answer import Scope, block_for, read_scopes
from providers.services_shell import PROBE, STEPS
from providers.shell import Sh, lines, sh

_UNIT = re.compile(r"[A-Za-z0-9:_][A-Za-z0-9:_.\\@-]*")
_TYPES = ("service", "socket", "timer", "path", "mount", "automount", "swap", "target", "slice")
_LONGEST = 255
_BUSY = {"active", "reloading", "refreshing", "activating"}
_PATIENCE = 150
"""Seconds for one service: systemd itself gives up a start after 90."""


def _check_unit(value: str) -> str:
    """Names as systemd allows them, minus patterns (which `systemctl show` would expand) and what reads as an option."""
    if not _UNIT.fullmatch(value):
        raise ValueError(
            f'"{value}" is not the name of a unit: those have letters, digits and : _ . \\ @ - and begin with none of . \\ @ -'
        )
    stem, _, suffix = value.rpartition(".")
    if suffix == "service":
        raise ValueError(f'write "{stem}": without a suffix a .service is meant')
    if suffix in {"scope", "device"}:
        raise ValueError(f"systemd makes .{suffix} units by itself; they cannot be managed")
    if value.endswith("@") or (suffix in _TYPES and stem.endswith("@")):
        raise ValueError(f'"{value}" is a template: name an instance of it, as in "getty@tty1"')
    if len(_with_suffix(value)) > _LONGEST:
        raise ValueError(f"the name of a unit has at most {_LONGEST} characters")
    return value


def _with_suffix(name: str) -> str:
    return name if name.rpartition(".")[2] in _TYPES else f"{name}.service"


class ServiceSpec(Spec):
    """A unit of systemd. The name is the unit's, without `.service`; other units with their suffix: `backup.timer`."""

    kind: ClassVar[str] = "service"

    running: Annotated[
        bool | None, Field(description="true: it runs; false: it is stopped; left out: not managed", examples=[True])
    ] = None
    enabled: Annotated[
        bool | None, Field(description="Whether it starts at boot (for a unit of a user too); left out: not managed")
    ] = None
    masked: Annotated[bool | None, Field(description="true: stopped, and nothing can start it; false: it can be started")] = (
        None
    )
    user: Annotated[
        AccountName | None, Field(description="The user whose unit it is; default: a unit of the system", examples=["ops"])
    ] = None
    unit: Annotated[
        str | None,
        Field(description="The unit, where the resource has another name (one unit of two users)", examples=["syncthing"]),
    ] = None
    on_change: Annotated[
        Literal["restart", "reload", "none"],
        Field(
            description="What to do when something that it follows changed; reload becomes restart where a unit cannot reload"
        ),
    ] = "restart"

    @field_validator("name", "unit")
    @classmethod
    def _unit_name(cls, value: str | None) -> str | None:
        return None if value is None else _check_unit(value)

    @model_validator(mode="after")
    def _no_contradiction(self) -> Self:
        if self.masked and (self.running or self.enabled):
            raise ValueError("a masked service can neither run nor be enabled: leave out masked, or running and enabled")
        if self.masked is not None and self.user is not None:
            raise ValueError("masked is for units of the system: for a unit of a user write running: false and enabled: false")
        return self

    @property
    def full_name(self) -> str:
        """The unit with its suffix: `ssh.service`."""
        return _with_suffix(self.unit or self.name)


class ServiceState(State):
    """What systemd says of a unit. `linger` belongs to its user: whether the user's manager runs without a login."""

    running: bool | None = None
    enabled: bool | None = None
    masked: bool | None = None
    failed: bool | None = None
    stale: bool | None = None
    """The unit's files are newer than what systemd has read."""
    linger: bool | None = None


def goal(spec: ServiceSpec) -> ServiceState:
    """What the spec asks for, whether it is wanted or not. A service with nothing said about it shall run and be enabled."""
    running, enabled, masked = spec.running, spec.enabled, spec.masked
    if running is None and enabled is None and masked is None:
        running = enabled = True
    up = bool(running or enabled)
    if masked:
        running = False
    elif up and spec.user is None:
        masked = False
    return ServiceState(
        running=running,
        enabled=enabled,
        masked=masked,
        failed=False if running else None,
        stale=False,
        linger=True if up and spec.user else None,
    )


class ServiceProvider(Provider[ServiceSpec, ServiceState]):
    name = "service"
    section = "services"
    rank = 80
    library = STEPS
    tools = ("systemctl",)
    spec = ServiceSpec
    state = ServiceState

    def probe(self, specs: Sequence[ServiceSpec]) -> Sh:
        questions = [
            sh("service_system @number@ @units@", number=number, units=units)
            if user is None
            else sh("service_user @number@ @user@ @units@", number=number, user=user, units=units)
            for number, (user, units) in enumerate(_scopes(specs).items())
        ]
        # The last question's status is none of the fragment's.
        return lines([PROBE, *questions, sh(":")])

    def parse(self, out: bytes, specs: Sequence[ServiceSpec]) -> Mapping[str, Answer[ServiceState]]:
        answered = read_scopes(out)
        places: dict[tuple[str | None, str], tuple[Scope, dict[str, str]] | Unknown] = {}
        for number, (user, units) in enumerate(_scopes(specs).items()):
            scope = answered.get(str(number))
            for position, unit in enumerate(units):
                if scope is not None:
                    places[user, unit] = block_for(scope, position, unit, len(units))
        answers: dict[str, Answer[ServiceState]] = {}
        for spec in specs:
            place = places.get((spec.user, spec.full_name))
            if isinstance(place, Unknown):
                answers[spec.name] = place
            elif place is not None:
                answers[spec.name] = _answer(spec, *place)
        return answers

    def want(self, spec: ServiceSpec) -> ServiceState | None:
        return goal(spec) if spec.present else None

    def steps(self, changes: Sequence[Change[ServiceSpec, ServiceState]], facts: Facts) -> Iterable[Step]:
        for change in changes:
            spec, wanted = change.spec, goal(change.spec)
            if change.after is None:
                wanted = ServiceState(
                    running=None if wanted.running is None else False, enabled=None if wanted.enabled is None else False
                )
            run = sh(
                "service_ensure @unit@ @user@ @running@ @enabled@ @masked@",
                unit=spec.full_name,
                user=spec.user or "",
                running="again" if spec.follows and self.renews(change) else _word(wanted.running),
                enabled=_word(wanted.enabled),
                masked="no" if wanted.linger else _word(wanted.masked),
            )
            yield Step(refs=(spec.ref,), title=_title(change, wanted), run=run, timeout=_PATIENCE)

    def idle(self, spec: ServiceSpec) -> str | None:
        asked = (spec.running, spec.enabled, spec.masked) != (None, None, None) or spec.follows
        return None if asked or not spec.present else "give running, enabled or masked, or follows to have it restarted"

    def refresh(self, spec: ServiceSpec) -> Step | None:
        running = goal(spec).running
        if running is False or spec.on_change == "none" or not spec.present:
            return None
        run = sh(
            "service_refresh @unit@ @user@ @verb@ @up@",
            unit=spec.full_name,
            user=spec.user or "",
            verb=spec.on_change,
            up="yes" if running else "keep",
        )
        return Step(refs=(spec.ref,), title=f"{spec.on_change} {spec.name}", run=run, timeout=_PATIENCE)

    def foresee(self, spec: ServiceSpec, before: ServiceState, coming: Collection[str]) -> ServiceState:
        """A unit file that this run writes has to be read, if no restart does so. For that, no user's manager is started."""
        files = set(filter(_part_of(spec).fullmatch, coming))
        followed = self.refresh(spec) is not None and not files.isdisjoint(spec.follows)
        at_rest = spec.user is not None and not (goal(spec).running or goal(spec).enabled)
        return before if not files or followed or at_rest else before.model_copy(update={"stale": True})

    def refresh_word(self, spec: ServiceSpec) -> str:
        return "restart" if spec.on_change == "none" else spec.on_change

    def renews(self, change: Change[ServiceSpec, ServiceState]) -> bool:
        """What is started needs no restart on top. What is not known to be at rest may be up already."""
        up = change.after is not None and bool(change.after.running)
        return up and (change.before is None or change.before.running is False)

    def links(self, spec: ServiceSpec) -> Iterable[str]:
        """Its user, the package of its name, and the unit files that may be declared for it."""
        folders = ["/etc/systemd/system"]
        if spec.user:
            yield f"user:{spec.user}"
            folders = ["/etc/systemd/user", f"/home/{spec.user}/.config/systemd/user"]
        else:
            yield f"package:apt/{(spec.unit or spec.name).partition('@')[0].removesuffix('.timer').removesuffix('.socket')}"
        unit = spec.full_name
        stem, _, suffix = unit.rpartition(".")
        template = f"{stem.partition('@')[0]}@.{suffix}" if "@" in stem else unit
        for name in dict.fromkeys([unit, template, f"{stem}.service"]):
            for folder in folders:
                yield f"file:{folder}/{name}"
                yield f"symlink:{folder}/{name}"
                yield f"file:{folder}/{name}.d/override.conf"

    def made(self, change: Change[ServiceSpec, ServiceState]) -> bool:
        """Ours to stop and disable one day if it was us who started or enabled it."""
        if change.before is None or change.after is None:
            return change.before is None
        return any(name in change.fields and getattr(change.after, name) for name in ("running", "enabled"))


def _part_of(spec: ServiceSpec) -> re.Pattern[str]:
    """References of what the unit is made of, in any of systemd's folders: its file or its template's, and drop-ins."""
    stem, _, suffix = spec.full_name.rpartition(".")
    names = {spec.full_name, f"{stem.partition('@')[0]}@.{suffix}" if "@" in stem else spec.full_name}
    scope = "user" if spec.user else "system"
    elsewhere = rf"(?!/home/(?!{re.escape(spec.user)}/))" if spec.user else ""  # not in the home of another user
    return re.compile(
        rf"(file|symlink|directory):{elsewhere}/.*/systemd/{scope}/({'|'.join(map(re.escape, names))})(\.d(/[^/]+)?)?"
    )


def _scopes(specs: Sequence[ServiceSpec]) -> dict[str | None, list[str]]:
    """The units to ask for, each once, by user; None is the system, which comes first so that no user can speak for it."""
    scopes: dict[str | None, dict[str, None]] = {None: {}} if any(spec.user is None for spec in specs) else {}
    for spec in specs:
        scopes.setdefault(spec.user, {})[spec.full_name] = None
    return {user: list(units) for user, units in scopes.items()}


def _answer(spec: ServiceSpec, scope: Scope, block: Mapping[str, str]) -> ServiceState | None:
    wanted = goal(spec)
    needed = spec.present and bool(wanted.running or wanted.enabled)
    lingers = scope.lingers if wanted.linger else None
    if scope.manager == "dead":
        # Without its manager no unit of the user runs; and without lingering none starts at boot, whatever is enabled.
        enabled = None if scope.lingers else False
        state = ServiceState(running=False, enabled=enabled, failed=False, stale=False, linger=lingers)
    elif scope.manager == "nobody" or (block["LoadState"] == "not-found" and block["ActiveState"] not in _BUSY):
        # What is to be neither running nor enabled may just as well not exist.
        if needed or not spec.present:
            return None
        return ServiceState(running=False, enabled=False, masked=False, failed=False, stale=False)
    else:
        state = _from_block(spec, wanted, scope, block).model_copy(update={"linger": lingers})
    if spec.present:
        return state
    stopped = wanted.running is None or state.running is False
    disabled = wanted.enabled is None or state.enabled is False
    return None if stopped and disabled else state


def _from_block(spec: ServiceSpec, wanted: ServiceState, scope: Scope, block: Mapping[str, str]) -> ServiceState:
    """The state of a loaded unit. Where systemd knows a third answer between yes and no, it is read as what is not wanted, so
    that both wishes lead to a change: enabled or masked until the next boot only, or between two restarts of a crash loop."""
    up, on, off = (spec.present and bool(wish) for wish in (wanted.running, wanted.enabled, wanted.masked))
    active, file = block["ActiveState"], block["UnitFileState"]
    looping = block["SubState"].startswith("auto-restart")
    return ServiceState(
        running=(active in _BUSY and not (looping and up)) or (up and _has_run(spec, scope, block)),
        enabled=file == "enabled"
        or (file == "generated" and spec.full_name in scope.sysv)
        or (file == "enabled-runtime" and not on),
        masked=file == "masked" or (file == "masked-runtime" and not off),
        failed=active == "failed",
        stale=block["NeedDaemonReload"] == "yes",
    )


def _has_run(spec: ServiceSpec, scope: Scope, block: Mapping[str, str]) -> bool:
    """A one-shot unit is inactive when its work is done: it counts as running if it ended well since boot."""
    if block.get("Type") != "oneshot" or block.get("RemainAfterExit") != "no":
        return False
    tried = block.get("ConditionTimestampMonotonic", "0") not in {"0", ""} or spec.full_name in scope.ran
    return block["ActiveState"] == "inactive" and block.get("Result") == "success" and tried


def _word(wish: bool | None) -> str:  # noqa: FBT001 a wish, not a switch
    return "keep" if wish is None else "yes" if wish else "no"


_VERBS = (
    ("masked", False, "unmask"),
    ("enabled", True, "enable"),
    ("running", True, "start"),
    ("running", False, "stop"),
    ("enabled", False, "disable"),
    ("masked", True, "mask"),
)


def _title(change: Change[ServiceSpec, ServiceState], wanted: ServiceState) -> str:
    """`enable and start ssh`: what this change does, in the order in which it happens."""

    def differs(name: str) -> bool:
        if change.action == "create":
            return name != "masked"
        return change.action == "delete" or name in change.fields

    verbs = [verb for name, wish, verb in _VERBS if getattr(wanted, name) is wish and differs(name)]
    whose = f" of {change.spec.user}" if change.spec.user else ""
    if not verbs and "linger" in change.fields:
        return f"let services of {change.spec.user} run without a login"
    if not verbs:
        return f"reload the unit files of {change.spec.name}{whose}"
    return f"{' and '.join([', '.join(verbs[:-1]), verbs[-1]] if verbs[1:] else verbs)} {change.spec.name}{whose}"
