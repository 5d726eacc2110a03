"""The `.git` of a checkout: brought in step with the installed files, on hosts with git and without.

Called by `releases/steps.py` after the files are in place. Objects come as one pack that was made on the controller; it, the
branch and HEAD are put in by a rename each, in this order, so that a repository that git finds at any moment is whole. Commits
that somebody made on the host stay reachable under refs/reconciler/kept. Where git is there, it writes its own index, run as
the owner of the folder and without hooks, because a repository's settings can name commands.
"""

from __future__ import annotations

from functools import cache

from providers.base import Change, Step
from providers.releases.model import ReleaseSpec, ReleaseState, escaped
from providers.shell import sh

GIT = sh(r"""
# release_git PACKED BRANCH ORIGIN IGNORED TRACKED: HEAD is $commit on BRANCH. PACKED: 1 where a pack was sent. TRACKED: 1
# where the branch is one of the source.
release_git() {
  project_open "$release" && path_enter "$path/." && root=$PWD && exec 7<. || return
  if [ -L ./.git ] || { [ -e ./.git ] && [ ! -d ./.git ]; }; then
    path_fail "$root/.git is no folder: move it away"
    return
  fi
  branch=$2 origin=$3 tracked=${5:-}
  release_head >"$stage/head"
  last=
  if [ -r "$project/head" ]; then read -r last <"$project/head"; fi
  if [ -d ./.git ]; then fresh=; else fresh=1; fi
  release_private .reconciler-release- && exec 8<. || return
  if [ -n "$fresh" ]; then release_git_new "$1" "$4"; else release_git_move "$1" "$4"; fi
  outcome=$?
  cd -P -- /proc/self/fd/8 && rm -rf -- ./.git ./new && cd -P -- /proc/self/fd/7 && rmdir -- "$private" || return
  [ "$outcome" = 0 ] || return
  echo "$commit" | release_keep "$project/head" || return
  release_git_index
}

# release_git_pack FOLDER: the pack and its index under the name that git gives them.
release_git_pack() {
  trailer=$(tail -c 20 "$parcels/1" | od -An -v -tx1 | tr -d ' \n')
  cat "$parcels/1" >"$1/pack-$trailer.pack" && cat "$parcels/2" >"$1/pack-$trailer.idx" &&
    chmod 0444 "$1/pack-$trailer.pack" "$1/pack-$trailer.idx" && sync "$1/pack-$trailer.pack" "$1/pack-$trailer.idx"
}

# release_git_new PACKED IGNORED: a whole repository, which appears by one rename.
release_git_new() {
  umask 022
  mkdir -p ./.git/objects/pack ./.git/objects/info ./.git/refs/tags ./.git/info "./.git/refs/heads/$branch" &&
    rmdir "./.git/refs/heads/$branch" || return
  if [ "$1" = 1 ]; then release_git_pack ./.git/objects/pack || return; fi
  printf '%s\n' "$2" >./.git/info/exclude
  echo "ref: refs/heads/$branch" >./.git/HEAD
  echo "$commit" >"./.git/refs/heads/$branch"
  printf '[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n' >./.git/config
  if [ -n "$origin" ]; then
    quoted=$(printf '%s' "$origin" | sed 's/[\\"]/\\&/g')
    printf '[remote "origin"]\n\turl = "%s"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n' "$quoted" >>./.git/config
  fi
  if [ -n "$origin" ] && [ "$tracked" = 1 ]; then
    printf '[branch "%s"]\n\tremote = origin\n\tmerge = refs/heads/%s\n' "$branch" "$branch" >>./.git/config
    mkdir -p "./.git/refs/remotes/origin/$branch" && rmdir "./.git/refs/remotes/origin/$branch" &&
      echo "$commit" >"./.git/refs/remotes/origin/$branch" || return
  fi
  umask 077
  release_own -hR ./.git && { sync -f . 2>/dev/null || sync; } && mv -f -- ./.git ..
}

# release_git_move PACKED IGNORED: an existing repository.
release_git_move() {
  mkdir ./new || return
  if [ "$1" = 1 ]; then
    release_git_pack ./new && release_own -hR ./new && release_into .git/objects/pack && exec 6<. || return
    cd -P -- /proc/self/fd/8/new && mv -f -- ./*.pack /proc/self/fd/6/ 6<&6 && mv -f -- ./*.idx /proc/self/fd/6/ 6<&6 || return
  fi
  if [ "$tracked" = 1 ]; then release_git_write "refs/remotes/origin/$branch" "$commit" || return; fi
  release_git_spare && release_git_write "refs/heads/$branch" "$commit" && release_git_write HEAD "ref: refs/heads/$branch"
}

# release_git_spare: what was committed on the host is not lost when the branch moves.
release_git_spare() {
  now=$(date +%s)
  rev=$(sed -n 's/^rev //p' "$stage/head")
  release_git_spare_one "$rev" "$now" || return
  cd -P -- /proc/self/fd/7 || return
  spared=$rev rev='' file=./.git/refs/heads/$branch
  if [ -f "$file" ] && [ ! -L "$file" ]; then read -r rev <"$file"; fi
  if [ "$rev" = "$spared" ]; then return; fi
  release_git_spare_one "$rev" "$now-branch"
}

release_git_spare_one() {
  case $1 in '' | "$last" | "$commit" | *[!0-9a-f]*) return 0 ;; esac
  release_git_write "refs/reconciler/kept/$2" "$1"
}

# release_git_write NAME LINE: a file in .git, and the folders on the way.
release_git_write() {
  cd -P -- /proc/self/fd/8/new && printf '%s\n' "$2" >"./${1##*/}" && chmod 0644 "./${1##*/}" && release_own -h "./${1##*/}" &&
    sync "./${1##*/}" || return
  case $1 in */*) release_reach ".git/${1%/*}" ;; *) release_reach .git ;; esac || return
  exec 6<. && cd -P -- /proc/self/fd/8/new && mv -f -- "./${1##*/}" /proc/self/fd/6/ 6<&6
}

# release_git_index: git itself notes how the files look, so that its status is clean. What is excluded is not missed.
release_git_index() {
  command -v git >/dev/null || return 0
  release_into . || return
  keeper=$(stat -c %u:%g ./.git) || return
  if [ "${keeper%:*}" = "$path_uid" ]; then
    set -- sh
  elif command -v setpriv >/dev/null; then
    set -- setpriv "--reuid=${keeper%:*}" "--regid=${keeper#*:}" --clear-groups sh
  else
    return 0
  fi
  HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_OPTIONAL_LOCKS=0 "$@" -c '
    git() { command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c safe.directory="*" "$@"; }
    git read-tree "$1" || exit
    git update-index -q --refresh >/dev/null
    git ls-files -d -z | git update-index -z --skip-worktree --stdin
  ' sh "$commit"
}

# release_unlink_git: the repository goes with the project, unless it holds commits that are nowhere else.
release_unlink_git() {
  [ "$strategy" = checkout ] && [ -e "$project/head" ] && path_enter "$path/." && [ -d ./.git ] && [ ! -L ./.git ] || return 0
  read -r last <"$project/head"
  release_head >"$stage/head"
  grep -qx "rev $last" "$stage/head" || return 0
  if [ -e ./.git/refs/reconciler/kept ] || grep -q ' refs/reconciler/kept/' ./.git/packed-refs 2>/dev/null; then return 0; fi
  release_private .reconciler-release- && mv -f -- ../.git ./ && rm -rf -- ./.git && cd -P .. && rmdir -- "$private"
}
""")


def git_step(change: Change[ReleaseSpec, ReleaseState]) -> Step:
    """Brings `.git` in step with the files. Raises `ValueError` where the tree was made without its history."""
    spec, before = change.spec, change.before
    known = before.commit if before is not None and before.commit not in (None, "none") else None
    moves = known != spec.commit
    pack = spec.files.pack
    if moves and pack is None:
        raise ValueError(f"{spec.ref}: its history was not loaded")

    @cache
    def made() -> tuple[bytes, bytes]:
        assert pack is not None
        return pack(frozenset({known} if known else ()))

    run = sh(
        """release=@release@ path=@path@ commit=@commit@ owner=@owner@ group=@group@
release_git @packed@ @branch@ @origin@ @ignored@ @tracked@""",
        release=spec.name,
        path=spec.path,
        commit=spec.commit,
        owner=spec.owner or "",
        group=spec.group or "",
        packed=int(moves),
        branch=spec.branch or "main",
        origin=spec.origin,
        tracked=int(spec.branch is not None),
        ignored="\n".join(f"/{escaped(path)}" for path in spec.made_here()),
    )
    parcels = (lambda: made()[0], lambda: made()[1]) if moves else ()
    title = f"move {spec.path}/.git to {spec.commit[:10]}" if moves else f"refresh the index of {spec.path}/.git"
    return Step((spec.ref,), title, run, parcels=parcels, timeout=600)
