"""One rich plan that has everything a plan can have, and one full of hostile text: what the renderers' tests look at."""

from __future__ import annotations

from reconciler.plan import Action, Cause, FieldChange, HostPlan, Plan, UnknownResource

COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f80912a3b4c5"
EARLIER = "0f0e0d0c0b0a09080706050403020100ffeeddcc"

NAS = HostPlan(
    host="nas",
    resources=43,
    applied=EARLIER,
    actions=(
        Action(
            ref="user:ops",
            action="create",
            cause=Cause(why="commit", place="hosts/nas.yaml:12:3"),
            fields=(
                FieldChange(field="shell", before="none", after="/bin/bash"),
                FieldChange(field="uid", before="none", after="2000"),
            ),
        ),
        Action(
            ref="package:apt/nginx",
            action="create",
            cause=Cause(why="commit", place="bundles/web.yaml:3:11"),
            notes=("version 1.26.3-1",),
            brings=("nginx-common", "libnginx-mod-http-geoip2", "libnginx-mod-http-image-filter", "libnginx-mod-stream"),
            removes=("apache2",),
            deletions=("package:apt/apache2",),
        ),
        Action(
            ref="file:/etc/nginx/nginx.conf",
            action="change",
            cause=Cause(why="drift", place="hosts/nas.yaml:20:3"),
            fields=(
                FieldChange(field="content", before="aaaaaaaaaaaa", after="bbbbbbbbbbbb"),
                FieldChange(field="mode", before="0600", after="0644"),
            ),
            diff=(
                "--- now",
                "+++ wanted",
                "@@ -1,2 +1,2 @@",
                " user www-data;",
                "-worker_processes\t1;",
                "+worker_processes\tauto;",
            ),
        ),
        Action(
            ref="file:/srv/a/very/long/path/that/does/not/fit/into/one/row/of/a/terminal/with/eighty/columns.conf",
            action="change",
            cause=Cause(why="unfinished", place="hosts/nas.yaml:22:3"),
            fields=(FieldChange(field="owner", before="root", after="www-data"),),
            held="sync: observe",
        ),
        Action(ref="file:/etc/old", action="delete", cause=Cause(why="pruned"), deletions=("file:/etc/old",)),
        Action(
            ref="service:nginx",
            action="refresh",
            verb="restart",
            cause=Cause(why="follows", refs=("file:/etc/nginx/nginx.conf", "package:apt/nginx")),
            unsure="the unit comes with the package",
        ),
        Action(ref="service:cron", action="refresh", verb="reload", cause=Cause(why="pending", refs=("cron:backup",))),
    ),
    unknown=(UnknownResource(ref="mount:/srv", reason="the host did not answer in time", place="hosts/nas.yaml:40:3"),),
    released={"file:/etc/issue": "it was there before us"},
    warnings=("the inventory on the host is not usable",),
)
PLAN = Plan(
    commit=COMMIT,
    hosts=(
        HostPlan(host="web1", resources=1),
        HostPlan(host="web2", resources=12),
        NAS,
        HostPlan(
            host="db", problem="db.lan:22 refuses the connection", problem_kind="unreachable", hint="is sshd running there?"
        ),
        HostPlan(host="laptop", problem="no answer within 10 s", problem_kind="unreachable", intermittent=True),
        HostPlan(host="web3", resources=7),
    ),
)

HOSTILE = "[/bold]\x1b[31mred\x1b]8;;http://evil\x07link\u202egnp.exe\nforged line\udcff`](javascript:x)<img src=x>@all\x9b2J"
HOSTILE_PLAN = Plan(
    commit=COMMIT,
    hosts=(
        HostPlan(
            host=HOSTILE,
            applied=HOSTILE,
            actions=(
                Action(
                    ref=HOSTILE,
                    action="change",
                    cause=Cause(why="commit", place=HOSTILE),
                    fields=(FieldChange(field=HOSTILE, before=HOSTILE, after=HOSTILE),),
                    diff=(HOSTILE, f"+{HOSTILE}"),
                    notes=(HOSTILE,),
                    brings=(HOSTILE,),
                    removes=(HOSTILE,),
                    deletions=(HOSTILE,),
                    unsure=HOSTILE,
                    held=HOSTILE,
                ),
                Action(ref=HOSTILE, action="refresh", verb=HOSTILE, cause=Cause(why="follows", refs=(HOSTILE,))),
                Action(ref=HOSTILE, action="delete", cause=Cause(why="drift"), deletions=(HOSTILE, HOSTILE)),
            ),
            unknown=(UnknownResource(ref=HOSTILE, reason=HOSTILE, place=HOSTILE),),
            released={HOSTILE: HOSTILE},
            warnings=(HOSTILE,),
        ),
        HostPlan(host=HOSTILE, problem=HOSTILE, problem_kind="login", hint=HOSTILE),
    ),
)
