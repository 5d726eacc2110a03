"""What programs read: the documents behind `--json` and `plan --out`. docs/plan-json.md describes every field, and a test
holds it to that.

The text is pure ASCII: names that are not UTF-8 on a host come out as escaped lone surrogates and never break the output.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from desired.model import Diagnostic
from providers.secret import redacted
from reconciler.errors import Exit
from reconciler.fleet_run import HostRun
from reconciler.plan import Plan

DERIVED = ("summary", "changes", "deletions", "uncommitted")
"""Keys that stand in the document for the reader's convenience and are not read back."""


def text_of(document: Any) -> str:
    """Secrets are taken out of the strings before they are encoded, so that the text stays JSON."""
    return json.dumps(redacted(document), indent=2, ensure_ascii=True) + "\n"


def plan_document(plan: Plan, uncommitted: Sequence[str] = ()) -> dict[str, Any]:
    # Not mode="json": it would spoil names that are not UTF-8 where they are keys. All values are JSON's own anyway.
    return plan.model_dump() | {
        "summary": plan.summary(),
        "changes": plan.changes,
        "deletions": list(plan.deletions),
        "uncommitted": list(uncommitted),
    }


def apply_document(plan: Plan, runs: Iterable[HostRun], code: Exit) -> dict[str, Any]:
    outcomes = {run.host.name: asdict(run.outcome) for run in runs if run.outcome is not None}
    return {"plan": plan_document(plan), "outcomes": outcomes, "exit_code": int(code)}


def diagnostics_document(commit: str | None, diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    errors = sum(one.severity == "error" for one in diagnostics)
    return {
        "valid": not errors,
        "commit": commit,
        "errors": errors,
        "warnings": len(diagnostics) - errors,
        "diagnostics": [
            asdict(one.place) | {"severity": one.severity, "message": one.message, "hint": one.hint} for one in diagnostics
        ],
    }
