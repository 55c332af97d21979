# Read by the services: what they start lives in one folder and ends with them, however they end.

folder= log= kept=()
exec 3>&2

# A new folder for all that the service writes, gone when it ends.
start_folder() {
  folder=$(mktemp -d "${TMPDIR:-/tmp}/service.XXXXXX")
  cd "$folder"
  trap end EXIT
  trap 'exit 143' TERM INT HUP
}

# Start a program in the background that is stopped at the end; `log` becomes the file that it writes to.
# The program is to be run by setpriv --pdeathsig, so that a SIGKILL of the service takes it along.
keep() {
  log=$folder/kept-${#kept[@]}.log
  "$@" </dev/null >"$log" 2>&1 &
  kept+=($!)
}

# Try a command until it succeeds; all that was started must go on running meanwhile.
until_true() {
  local last=$((SECONDS + $1))
  shift
  until "$@" >"$folder/tried.log" 2>&1; do
    for each in "${kept[@]}"; do
      kill -0 "$each" 2>/dev/null || give_up "a program ended before it was asked to"
    done
    [ "$SECONDS" -lt "$last" ] || give_up "no success in time: $*"
    sleep 0.1
  done
}

give_up() {
  echo "$1" >&3
  exit 1
}

# Say that all is up, and wait for the end of standard input: it comes when the parent closes it or dies.
stay() {
  echo ready
  while read -r _; do :; done
}

end() {
  [ $? != 1 ] || tail -n 20 "$folder"/*.log >&3
  trap '' TERM INT HUP
  if [ ${#kept[@]} != 0 ]; then
    kill -TERM "${kept[@]}" 2>/dev/null || true
    (sleep 2; kill -KILL "${kept[@]}") 2>/dev/null &
    wait "${kept[@]}" 2>/dev/null || true
    kill %% 2>/dev/null || true
  fi
  cd /
  rm -rf "$folder"
}
