# shellcheck shell=bash
# Server processes: each in a session and process group of its own, known by process id and start time, so that a number
# the system has given to another process since is never signalled.

# The start of a process in clock ticks since boot; nothing when there is no such process.
started_at() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    read -r -a fields <<<"${stat##*) }"
    # A zombie has ended; whoever should reap it is not our business.
    if [ "${fields[0]}" != Z ]; then echo "${fields[19]}"; fi
}

is_process() {
    [ -n "${1:-}" ] && [ -n "${2:-}" ] && [ "$(started_at "$1")" = "$2" ]
}

# running, paused or gone.
condition_of_process() {
    local state
    if ! is_process "$@"; then
        echo gone
        return
    fi
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true)
    case $state in
        '' | Z | X) echo gone ;;
        T | t) echo paused ;;
        *) echo running ;;
    esac
}

# Starts the `start` script of a service in its folder.
launch() {
    local place pid
    place=$(folder "$1")
    # The mark in its environment finds a process whose file could not be written any more.
    # It must not inherit the locks of this script (8, 9): it would hold them for as long as it lives.
    GUILDHALL_STACK_SERVER=$place setsid env --chdir="$place" ./start >>"$place/log" 2>&1 </dev/null 8<&- 9<&- &
    pid=$!
    disown "$pid"
    echo "$pid $(started_at "$pid")" >"$place/pid"
}

process_of() {
    cat "$(folder "$1")/pid" 2>/dev/null || true
}

# Sends a signal to the whole group of a service; nothing happens when it is gone.
signal_process() {
    local identity
    read -r -a identity <<<"$(process_of "$1")"
    if is_process "${identity[@]}"; then kill -s "$2" -- "-${identity[0]}" 2>/dev/null || true; fi
}

# Whether a service itself listens on its port: something else may have taken it in the meantime, and answer.
listens() {
    local pid hexadecimal sockets
    read -r pid _ <<<"$(process_of "$1")"
    hexadecimal=$(printf ':%04X' "${port[$1]}")
    # The state 0A is LISTEN; the tenth column is the inode of the socket, which the process has open under that name.
    sockets=$(awk -v port="$hexadecimal$" '$4 == "0A" && $2 ~ port { print "socket:[" $10 "]" }' /proc/net/tcp*)
    [ -n "$sockets" ] && find "/proc/$pid/fd" -printf '%l\n' 2>/dev/null | grep -q -x -F "$sockets"
}

wait_until_gone() {
    local tries
    # shellcheck disable=SC2046 # a process id and its start
    for ((tries = 0; tries < 1000; tries++)); do
        if ! is_process $(process_of "$1"); then return 0; fi
        sleep 0.01
    done
    fail "$1 does not end"
}

# Ends all processes whose mark lies in a folder, whatever their files say.
end_marked_processes() {
    local tries left pattern
    # shellcheck disable=SC2001 # an expansion cannot repeat what it found
    pattern=$(sed 's/[][\.*^$]/\\&/g' <<<"$1")
    for ((tries = 0; tries < 500; tries++)); do
        left=$(grep -l -z -s "^GUILDHALL_STACK_SERVER=$pattern/" /proc/[0-9]*/environ 2>/dev/null |
            sed 's,/proc/\([0-9]*\)/environ,\1,' || true)
        # The zero counts: a bare return inside an exit trap repeats the status of the exit.
        if [ -z "$left" ]; then return 0; fi
        # shellcheck disable=SC2086 # one word per process
        kill -s KILL $left 2>/dev/null || true
        sleep 0.01
    done
    fail "processes in $1 do not end: $left"
}

# A process and its descendants, parents first.
descendants() {
    local child
    echo "$1"
    # shellcheck disable=SC2013 # words, not lines
    for child in $(cat "/proc/$1/task"/*/children 2>/dev/null); do descendants "$child"; done
}
