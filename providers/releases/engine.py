"""How a tree is brought into a folder of a host: unpack, prove, move, remember. Used by `releases/shell.py`.

The folder may belong to somebody hostile, and the run may be killed at any moment. Therefore contents are unpacked in a folder
of ours (0700) on the same file system, hashed there, and moved by one rename each; every folder is entered from the root, it is
noticed when part of the way is a link, and from then on it is held as an open descriptor: 7 is the root of the tree, 8 the
unpacked contents, 6 the folder that is being filled, 4 the release that contents are taken from.

In the step's scratch folder: `before`, `after` (listings), `truths` (what is unharmed), `lines` (the new index), `actions`.
Unpacked: `c/delta` (`+LINE`, `-PATH`), `c/parts` (`NUMBER LINE`), `c/copies` (`NUMBER LINE` tab `SOURCE`), `c/seeds`,
`f/NUMBER/NAME`, `s/PATH`; for `releases/small.py` also `c/actions`.
"""

from __future__ import annotations

from providers.releases.ask import LISTED
from providers.shell import sh

UNPACK = sh(r"""
# release_keep FILE: it becomes stdin, whole or not at all.
release_keep() { cat >"$1.new" && sync "$1.new" && mv -f -- "$1.new" "$1"; }

# release_save FILE: the same for what can be had again: it need not survive a power cut.
release_save() { cat >"$1.new" && mv -f -- "$1.new" "$1"; }

# release_sweep PREFIX: removes what a killed run has left of its folder in this one.
release_sweep() {
  place=$PWD
  for old in "./$1"??????; do
    if [ -d "$old" ] && [ ! -L "$old" ]; then (path_private "$old" && rm -rf -- ./*) && rmdir -- "$old"; fi
  done
  return 0
}

# release_private PREFIX: makes a folder of ours in this one and enters it.
release_private() {
  release_sweep "$1"
  read -r random </proc/sys/kernel/random/uuid || return
  private=./$1${random%"${random#??????}"}
  mkdir -m 0700 -- "$private" && path_private "$private"
}

# release_unpack COUNT: what was sent. Its digest was checked, so what fails here is the disk.
release_unpack() {
  if [ "$1" = 0 ]; then tar "-x${packed}pomf" "$blob"; return; fi
  number=1
  while [ "$number" -le "$1" ]; do
    tar -xzpomf "$parcels/$number" && rm -f -- "$parcels/$number" || return
    number=$((number + 1))
  done
}

# release_survey PRUNED…: how this folder looks, and what of it is unharmed.
release_survey() {
  release_stamps
  release_lines "$title" "$@" >"$stage/before"
  grep -qx '!status 0' "$stage/before" || { path_fail "$PWD could not be read as a whole: nothing was done"; return; }
  release_truths "$stamps" full <"$stage/before" >"$stage/truths"
  grep -qx Z "$stage/truths" || path_fail "$PWD could not be compared with its list: nothing was done"
}

# release_renew: the new list, from what is unharmed and what was sent. It must be the one that was planned.
release_renew() {
  awk "$awk_file"'
    NR == FNR {
      if ($0 == "whole") whole = 1
      else if ($0 ~ /^-/) drop[substr($0, 2)] = 1
      else if ($0 ~ /^[+]/) { drop[file(substr($0, 2))] = 1; print substr($0, 2) }
      next
    }
    !whole && /^T / { l = substr($0, 3); if (!(file(l) in drop)) print l }
  ' ./c/delta "$stage/truths" | sort -t ' ' -k 4 | uniq >"$stage/lines"
  digest=$(sha256sum <"$stage/lines")
  case $digest in "$tree"*) return 0 ;; esac
  path_fail "what lies in $path is not what the plan saw any more: the next run looks again"
}

# release_fetch SOURCE: contents that the host has under another name or mode.
release_fetch() {
  [ -s ./c/copies ] || return 0
  while IFS="$tab" read -r part from; do
    line=${part#* * * * }
    file=./f/${part%% *}/${line##*/}
    mode=${part#* }
    cat <"$1/$from" >"$file" && chmod -- "${mode%% *}" "$file" || return
  done <./c/copies
}

# release_prove: every unpacked file is what the list says.
release_prove() {
  find ./f ./s -type f | tr '\n' '\000' | xargs -0 sha256sum -- >"$stage/sums"
  awk '
    function unescaped(p, i, out) {
      while ((i = index(p, "\\\\")) > 0) { out = out substr(p, 1, i); p = substr(p, i + 2) }
      return out p
    }
    function expect(sum, p) { if (sum !~ /^sealed:/) { due[p] = sum; count++ } }
    FILENAME ~ /seeds$/ { expect(substr($0, 1, 64), "./" substr($0, 67)); next }
    FILENAME ~ /(parts|copies)$/ {
      l = $0
      for (i = 1; i <= 4; i++) l = substr(l, index(l, " ") + 1)
      if (FILENAME ~ /copies$/) sub(/\t.*/, "", l)
      sub(/.*\//, "", l)
      expect($3, "./f/" $1 "/" l)
      next
    }
    {
      s = $0
      if (substr(s, 1, 1) == "\\") s = unescaped(substr(s, 2))
      p = substr(s, 67)
      if (due[p] == substr(s, 1, 64)) { delete due[p]; count-- }
    }
    END { for (p in due) if (due[p] != "") { print "it arrived damaged: " p; exit 1 } if (count) exit 1 }
  ' ./c/seeds ./c/parts ./c/copies "$stage/sums" >&2
}

# release_link: a link travels as a file that holds its target.
release_link() {
  grep '^[0-9]* link ' ./c/parts >"$stage/links"
  while IFS= read -r part; do
    line=${part#* * * * }
    file=./f/${part%% *}/${line##*/}
    target=$(cat -- "$file" && echo .) || return
    rm -f -- "$file" && ln -s -- "${target%.}" "$file" || return
  done <"$stage/links"
}
""")

MOVE = sh(r"""
# release_arrange COPIED: what is to be done, folder by folder, in an order in which each file is old or new at every moment.
# COPIED: into an empty folder, with what is unharmed in another.
release_arrange() {
  ignored=$ignored awk -v copied="$1" "$awk_file$awk_bounds"'
    function folder(p) { return match(p, /.*\//) ? substr(p, 1, RLENGTH - 1) : "." }
    function base(p) { sub(/.*\//, "", p); return p }
    function depth(p) { return p == "." ? 0 : gsub(/\//, "/", p) + 1 }
    function flush(key, at) {
      split(key, at, "\t")
      print at[1] "\t" at[2] "\t" at[3] "\t" at[4] "\t" batch[key]
      delete batch[key]
    }
    function todo(phase, order, action, place, part, what, key) {
      key = phase sprintf("%04d", order) "\t" action "\t" place "\t" part
      if (key in batch && length(batch[key]) + length(what) > 16000) flush(key)
      if (key in batch) batch[key] = batch[key] "/" what
      else batch[key] = what
    }
    function bring(action, p, part, d) {
      todo(4, 0, action, folder(p), part, base(p))
      for (d = folder(p); d != "." && !(d in made); d = folder(d)) {
        made[d] = 1
        todo(3, depth(folder(d)), "mkdir", folder(d), "-", base(d))
      }
    }
    BEGIN { names = split(ENVIRON["ignored"], name, "\n") }
    FILENAME ~ /lines$/ {
      p = file($0)
      wanted[p] = 1
      for (d = folder(p); d != "." && !(d in stays); d = folder(d)) stays[d] = 1
      next
    }
    FILENAME ~ /(parts|copies)$/ {
      part = $1
      p = file(substr($0, index($0, " ") + 1))
      if (FILENAME ~ /copies$/) sub(/\t.*/, "", p)
      if (out_of_bounds(p)) next
      moved[p] = 1
      bring("mv", p, part)
      next
    }
    /^[TC] / {
      p = file(substr($0, 3))
      if (out_of_bounds(p)) next
      if (copied) {
        if (/^T/ && p in wanted && !(p in moved)) bring("cp", p, "-")
        next
      }
      if (p in wanted) next
      phase = p in stays ? 1 : 5
      for (d = folder(p); d != "."; d = folder(d)) if (d in wanted) phase = 1
      todo(phase, 0, "rm", folder(p), "-", base(p))
      for (d = folder(p); d != "." && !(d in stays) && !((phase, d) in left); d = folder(d)) {
        left[phase, d] = 1
        todo(phase + 1, 9999 - depth(d), "rmdir", folder(d), "-", base(d))
      }
    }
    END { for (key in batch) flush(key) }
  ' "$stage/lines" ./c/parts ./c/copies "$stage/truths" | sort >"$stage/actions"
}

# release_at PATH: we stand there. (mksh does not see where a descriptor has led it, unless asked.)
release_at() { [ "$PWD" = "$1" ] || [ "$(pwd -P)" = "$1" ]; }

# release_into FOLDER: from the root into a folder of the tree, by no link.
release_into() {
  cd -P -- /proc/self/fd/7 || return
  release_at "$root" || { path_fail "$root was moved at this moment"; return; }
  if [ "$1" = . ]; then return; fi
  if cd -P -- "./$1" && release_at "$root/$1"; then return; fi
  path_fail "$root/$1 is not a folder, or is reached by a link: what the project has in it was not installed"
}

# release_act [FILE]: does what `release_arrange` wrote.
release_act() {
  while IFS="$tab" read -r _ action within part names; do
    case $action in rm*) if [ ! -d "/proc/self/fd/7/$within" ]; then continue; fi ;; esac
    release_into "$within" || return
    IFS=/
    set -f
    # shellcheck disable=SC2086 # names with a slash between them
    set -- $names
    set +f
    unset IFS
    case $action in
    mkdir) release_make "$@" ;;
    mv) release_move "$@" ;;
    cp) release_copy "$@" ;;
    rm) for entry do shift; set -- "$@" "./$entry"; done; rm -f -- "$@" ;;
    rmdir) for entry do if [ ! -L "./$entry" ]; then rmdir -- "./$entry" 2>/dev/null; fi; done; : ;;
    esac || return
  done <"${1:-$stage/actions}"
}

release_make() {
  for entry do
    shift
    if [ -L "./$entry" ] || { [ -e "./$entry" ] && [ ! -d "./$entry" ]; }; then
      path_fail "$PWD/$entry stands where a folder of the project belongs, and is not what we put there: move it away"
      return
    fi
    if [ ! -d "./$entry" ]; then set -- "$@" "./$entry"; fi
  done
  if [ "$#" = 0 ]; then return; fi
  mkdir -m 0755 -- "$@" && release_own -h "$@"
}

# release_own OPTION FILE…: gives them to whom the project belongs.
release_own() {
  if [ -z "$owner$group" ]; then return; fi
  how=$1
  shift
  chown "$how" -- "$owner${group:+:$group}" "$@"
}

# release_move NAME…: from folder $part of what was unpacked into this one.
release_move() {
  for entry do
    shift
    if [ -L "./$entry" ]; then
      if [ ! -e "./$entry" ]; then rm -f -- "./$entry"; fi # the mv of busybox stumbles over a link that leads nowhere
    elif [ -d "./$entry" ] && ! rmdir -- "./$entry" 2>/dev/null; then
      path_fail "$PWD/$entry is a folder that holds what is not ours, where the project has a file: move it away"
      return
    fi
    set -- "$@" "./$entry"
  done
  exec 6<. || return
  cd -P -- "/proc/self/fd/8/f/$part" && mv -f -- "$@" /proc/self/fd/6/ 6<&6
}

# release_copy NAME…: from the release that contents are taken from; what comes along is proved afterwards.
release_copy() {
  for entry do shift; set -- "$@" "./$entry"; done
  exec 6<. || return
  cd -P -- "/proc/self/fd/4/$within" && cp -pP -- "$@" /proc/self/fd/6/ 6<&6
}
""")

REMEMBER = sh(
    r"""
# release_stamp: from `after`, how the installed files look, so that the next question is a cheap one. A file that was changed
# since it was proved is not vouched for.
release_stamp() {
  grep -qx '!status 0' "$stage/after" || { path_fail "$root could not be read as a whole"; return; }
  : >"$stage/added"
  ignored=$ignored added=$stage/added before=$stage/before awk -v most=@listed@ -v sure="$sure" \
    "$awk_where$awk_file$awk_bounds"'
    BEGIN {
      names = split(ENVIRON["ignored"], name, "\n")
      before = ENVIRON["before"]
      more = (getline old < before) > 0
    }
    FILENAME ~ /lines$/ { p = file($0); if (!out_of_bounds(p)) mine[p] = 1; next }
    FILENAME ~ /(parts|copies)$/ {
      p = file(substr($0, index($0, " ") + 1))
      if (FILENAME ~ /copies$/) sub(/\t.*/, "", p)
      b = p
      sub(/.*\//, "", b)
      part["f/" $1 "/" b] = p
      next
    }
    FILENAME ~ /staged$/ { p = where($0); if (p in part) proved[part[p]] = $5 " " $6 " " $8; next }
    /^!/ { print; next }
    {
      while (more && (old "") < ($0 "")) more = (getline old < before) > 0
      p = where($0)
      if (!(p in mine)) {
        print
        if (!out_of_bounds(p) && ++count <= most) print p > ENVIRON["added"]
      } else if (sure || (p in proved ? proved[p] == $5 " " $6 " " $8 : (more && (old "") == ($0 "")))) {
        print
        delete mine[p]
      }
    }
    END { for (p in mine) print "? " p }
  ' "$stage/lines" ./c/parts ./c/copies "$stage/staged" "$stage/after" 2>/dev/null | sort >"$stage/stamps"
}

# release_record: from now on it is installed.
release_record() {
  { printf 'reconciler-tree 1 %s %s\n' "$tree" "$commit"; cat "$stage/lines"; } | release_keep "${listed}index" &&
    release_save "${listed}stamps" <"$stage/stamps" &&
    release_save "${listed}added" <"$stage/added" &&
    rm -f -- "${listed}coming" && sync "$project"
}
""",
    listed=LISTED,
)
