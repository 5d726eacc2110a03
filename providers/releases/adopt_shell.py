"""Shell for taking over a folder that is there already: listing it, writing its list, moving it aside.

Used by `releases/adopt.py`, which says what each is for.
"""

from __future__ import annotations

from providers.shell import sh

LIST = sh(r"""
# release_catalogue PATH PRUNED…: every file there, with the digest of its content.
release_catalogue() {
  cd -P -- "$1" || return
  shift
  tool=
  release_tool
  release_lines - "$@"
  echo '!sums'
  find . -mindepth 1 -xdev "$@" -type f ! -name '*
*' -print | tr '\n' '\000' | xargs -0 sha256sum -- 2>/dev/null
  find . -mindepth 1 -xdev "$@" -type l ! -name '*
*' -print | while IFS= read -r file; do
    target=$(readlink -- "$file" && echo .) || continue
    sum=$(printf %s "${target%??}" | sha256sum)
    printf '%s  %s\n' "${sum%% *}" "$file"
  done
  echo '!end'
}
""")

ADOPT = sh(r"""
# release_adopt PRUNED…: "$blob" is the list of what is at $path, or in its release $id. What is not as it says shows as drift
# from then on.
release_adopt() {
  project_open "$release" && release_claim || return
  root=$path
  if [ -n "$id" ]; then
    root=$path/releases/$id${sub:+/$sub}
    listed=$project/releases/$id.
    mkdir -p -- "$project/releases" || return
  fi
  path_enter "$root/." && root=$PWD && exec 7<. || return
  rm -f -- "${listed}index"
  sed 1d "$blob" >"$stage/lines" && release_keep "${listed}coming" <"$stage/lines" || return
  release_mounts
  release_survey "$@" || return
  mkdir "$stage/c" && : >"$stage/c/parts" && : >"$stage/c/copies" && : >"$stage/staged" && cd -P -- "$stage" || return
  sed "s/^!stamps [^ ]* /!stamps $tree /" "$stage/before" >"$stage/after" && release_stamp || return
  awk '
    function where(s, n, i) {
      for (i = 1; i <= n; i++) s = substr(s, index(s, " ") + 1)
      return s
    }
    FILENAME ~ /truths$/ { if (/^T /) good[where($0, 4)] = 1; next }
    FILENAME ~ /lines$/ { mine[where($0, 3)] = 1; next }
    /^[!?]/ { print; next }
    { p = substr(where($0, 8), 3); if (p in mine && !(p in good)) print "? " p; else print }
  ' "$stage/truths" "$stage/lines" "$stage/stamps" | sort >"$stage/stamps.checked"
  mv -f -- "$stage/stamps.checked" "$stage/stamps" && release_record
}

# release_set_aside NAME: $path gets another name beside it.
release_set_aside() {
  path_enter "$path" || return
  if [ -e "./$1" ] || [ -L "./$1" ]; then path_fail "$place/$1 is there already"; return; fi
  mv -- "./$name" "./$1" && path_sync
}
""")
