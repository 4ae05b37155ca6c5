# SPDX-License-Identifier: Apache-2.0
# Bash completion: `source scenarios/cli/completion.bash`. Commands and options come from --help, names from `list`.
_lightcone() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command=${COMP_WORDS[1]:-} words=
  if ((COMP_CWORD == 1)); then
    words="run sweep list describe check explain predict validate import report --help --version"
    [[ $(basename "$program") == lightcone && -f $(dirname "$program")/CMakeLists.txt ]] && words+=" test"
  elif [[ $current == -* ]]; then
    words=$("$program" "$command" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u)
  elif [[ $previous == --fidelity ]]; then
    words="analytical cycle"
  elif [[ $previous == --half ]]; then
    words="calibration held_out"
  elif [[ $previous == --machine ]]; then
    words="auto $("$program" list machines 2>/dev/null | awk '{print $1}')"
  elif [[ $command == list ]]; then
    words="models machines workloads scenarios ops"
  elif [[ $command == describe ]]; then
    words=$(for what in models machines workloads scenarios; do "$program" list "$what" 2>/dev/null; done | awk '{print $1}')
  elif [[ $command == run || $command == sweep ]]; then
    words=$("$program" list scenarios 2>/dev/null | awk '{print $1}')
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current"; compgen -f -- "$current")
}
complete -o filenames -F _lightcone lightcone ./lightcone
