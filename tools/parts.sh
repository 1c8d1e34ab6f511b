# Sourced by tools/test and tools/nightly: parts that are verbs of the Makefile, and a line of how each went.
logs=$(mktemp -d) has_cluster=
declare -A running=() since=()

make() { command make --no-print-directory "$@"; }
told() { printf '== %s: %s\n' "$1" "$2"; }

part() { # NAME COMMAND…: runs it and tells how long it took
  local started=$SECONDS
  printf '\n== %s\n' "$1"
  "${@:2}" || { told "$1" "failed after $((SECONDS - started)) s"; exit 1; }
  told "$1" "ok in $((SECONDS - started)) s"
}

beside() { # NAME COMMAND…: starts it in a process group of its own; what it says is shown when it is joined
  set -m
  "${@:2}" >"$logs/$1" 2>&1 </dev/null &
  set +m
  running[$1]=$! since[$1]=$SECONDS
}

join() { # NAME: waits for what was started beside
  local code=0
  printf '\n== %s\n' "$1"
  wait "${running[$1]}" || code=$?
  unset "running[$1]"
  cat "$logs/$1"
  [ $code = 0 ] || { told "$1" "failed within $((SECONDS - since[$1])) s"; exit 1; }
  told "$1" "ok within $((SECONDS - since[$1])) s, beside other parts"
}

make_cluster() { # may fail for want of root, Go or a program of the system, which it says in one line
  make cluster-programs && make cluster && has_cluster=1
}

cluster_is_required() { [[ ,${BERTH_REQUIRE:-}, =~ ,(all|cluster), ]]; }

finish() { # ends what still runs beside, tells what it said until then, and ends the cluster
  local name
  for name in "${!running[@]}"; do
    kill -- "-${running[$name]}" 2>/dev/null || true
    cat "$logs/$name"
    told "$name" "ended early, after $((SECONDS - since[$name])) s"
  done
  [ -z "$has_cluster" ] || make cluster-down || true
  rm -rf "$logs"
}

trap finish EXIT
