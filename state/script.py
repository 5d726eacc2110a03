"""Compiles fragments and steps into the one POSIX sh script that a host is sent.

Called by `snapshot.py` for probes and by `reconciler/cycle.py` for steps; what stands around the pieces is in `prelude.sh`,
`probe.sh` and `apply.sh`, so that it can be read and checked as shell. The whole script is one function that the last line
calls: a script that arrives cut does nothing at all.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from providers.base import Step
from providers.shell import Sh, here_document, lines, sh

TICK = 5
"""Seconds between two ticks of a probe's clock (`probe.sh`)."""
INLINE = 64 << 10
"""A content up to this many bytes travels inside the script; a larger one is uploaded first (`Channel.upload`)."""
PATIENCE = 20
"""Seconds that a script waits for the host's lock before it says that the host is busy."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """One read-only piece of a probe. `seconds` is how long it may take before it is ended and counts as unanswered."""

    run: Sh
    seconds: int = 20


@dataclass(frozen=True, slots=True)
class Compiled:
    """A script ready to be sent, and the nonce by which its answer is read."""

    text: bytes
    nonce: str


def new_nonce() -> str:
    return secrets.token_hex(12)


@cache
def _part(name: str) -> Sh:
    return Sh(files("state").joinpath(name).read_text("utf-8"))


def compile_probe(fragments: Sequence[Fragment], *, inventory: str | None = None, nonce: str | None = None) -> Compiled:
    """A script that runs every fragment and frames what it printed. The same fragments and nonce give the same bytes."""
    nonce = nonce or new_nonce()
    functions = [_function(f"f{number}", fragment.run) for number, fragment in enumerate(fragments)]
    calls = [
        sh("fragment @number@ @ticks@", number=number, ticks=max(1, fragment.seconds // TICK))
        for number, fragment in enumerate(fragments)
    ]
    return _whole(nonce, inventory, [_part("prelude.sh"), *functions, _part("probe.sh"), *calls])


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step and the numbers of the steps without which it makes no sense; of one that rescues, of those that it rescues."""

    step: Step
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """The part of an apply that one script does. Between two scripts the controller may ask something of its own."""

    first: int = 0
    """Number of the first step: they count through all stages."""
    begins: bool = True
    """No script came before: this one puts the journal in its place."""
    outcomes: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """What became of the steps of earlier stages: number → status."""
    asked: tuple[int, ...] = ()
    """Those of them that the controller did after the stage before: the host's journal does not hold them yet."""
    last: bool = True
    parcels: Mapping[int, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Number of a step → names of its parcels in the folder `staged`, in order."""


WHOLE = Stage()


def compile_apply(
    steps: Sequence[PlannedStep],
    *,
    expected: str,
    journal: str,
    libraries: Iterable[Sh] = (),
    inventory: str | None = None,
    set_aside: bool = False,
    stage: Stage = WHOLE,
) -> Compiled:
    """A script that takes the host's lock and runs the steps, of one stage or of all.

    `expected` is the digest of the inventory that the plan was made from (`none` where there was none), or of what the stage
    before left: when it differs, somebody else was here and nothing is done. With `set_aside` that inventory is kept as
    `inventory.broken`. `journal` is the inventory's new text with what this run intends, put in place before the first step.
    """
    nonce = new_nonce()
    numbered = list(enumerate(steps, stage.first))
    settings = [
        sh(
            "expected=@expected@ patience=@patience@ set_aside=@aside@",
            expected=expected,
            patience=PATIENCE,
            aside=int(set_aside),
        )
    ]
    functions = [piece for number, planned in numbered for piece in _step(number, planned.step, stage.parcels.get(number, ()))]
    begin = [sh("workplace")] if numbered else []
    begin += [sh("outcome_@number@=@status@", number=number, status=status) for number, status in stage.outcomes.items()]
    if stage.begins:
        begin.append(here_document(sh("keep"), journal.rstrip("\n"), f"end-{nonce}", sh("give_up folder")))
    begin += [sh("journal @number@ @status@", number=number, status=stage.outcomes[number]) for number in stage.asked]
    calls = [_call(number, planned) for number, planned in numbered]
    if not stage.last:
        calls.append(sh("left_inventory"))
    parts = [_part("prelude.sh"), *settings, *libraries, *functions, _part("apply.sh"), *begin, *calls]
    return _whole(nonce, inventory, parts)


def _call(number: int, planned: PlannedStep) -> Sh:
    others = " ".join(map(str, planned.after))
    if planned.step.rescues:
        return sh("rescue @number@ @seconds@ @others@", number=number, seconds=planned.step.timeout, others=others)
    return sh("step @number@ @seconds@ @others@", number=number, seconds=planned.step.timeout, others=others)


def staged_name(blob: bytes) -> str:
    """The name under which a content too large for the script is uploaded into the inventory's folder `staged`."""
    return hashlib.sha256(blob).hexdigest()


def _step(number: int, step: Step, parcels: Sequence[str]) -> list[Sh]:
    contents = lines([_blob(step.blob), *_parcels(parcels)])
    return [_function(f"b{number}", contents), _function(f"s{number}", step.run)]


def _parcels(names: Sequence[str]) -> list[Sh]:
    """Shell that puts what was uploaded (and checked on its arrival) where the step looks for it."""
    if not names:
        return []
    links = [
        sh('ln "$folder/staged/"@name@ "$parcels/"@number@ || return 1', name=name, number=number)
        for number, name in enumerate(names, 1)
    ]
    return [sh('mkdir "$parcels" || return 1'), *links]


def _blob(blob: bytes | None) -> Sh:
    """Shell that makes the file "$blob" and succeeds only if it is what was sent."""
    if blob is None:
        return Sh(":")
    digest = staged_name(blob)
    if len(blob) > INLINE:
        # Another step may need the same content; the last line of the script clears up.
        fetch = sh('ln "$folder/staged/"@name@ "$blob" || return 1', name=digest)
    else:
        text = base64.encodebytes(blob).decode("ascii").rstrip("\n")
        fetch = here_document(sh('base64 -d >"$blob"'), text, "end-of-content", sh("return 1"))
    return lines([fetch, sh('set -- "$(sha256sum <"$blob")"\n[ "${1%% *}" = @digest@ ] || return 1', digest=digest)])


def _function(name: str, body: Sh) -> Sh:
    return sh("@name@() {\n@body@\n}", name=name, body=body or sh(":"))


def _whole(nonce: str, inventory: str | None, parts: Iterable[Sh]) -> Compiled:
    head = sh("nonce=@nonce@ folder=@folder@", nonce=nonce, folder=inventory or "")
    script = sh("main() {\n@body@\nmark end\n}\nmain </dev/null\n", body=lines([head, *parts]))
    return Compiled(script.encode(), nonce)
