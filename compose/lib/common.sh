# shellcheck shell=bash
# Sentences for people, and what the machine must have.

# Where sentences are kept beside, when somebody needs the last one.
notes=

say() {
    echo "stack: $*" >&2
    if [ -n "$notes" ]; then echo "$*" >>"$notes"; fi
}

fail() {
    say "$*"
    exit 1
}

misused() {
    say "$*"
    say "see compose/stack --help"
    exit 2
}

check_machine() {
    [ "$(uname -s)" = Linux ] || fail "this script runs on Linux; elsewhere run it in a Linux container or machine"
    [ "${BASH_VERSINFO[0]}" -ge 5 ] || fail "Bash 5 is needed, this is $BASH_VERSION"
    local missing=()
    command -v flock >/dev/null && command -v setsid >/dev/null || missing+=("util-linux")
    command -v sha256sum >/dev/null || missing+=("coreutils")
    [ "${#missing[@]}" -eq 0 ] || fail "missing: ${missing[*]} (Debian: apt-get install ${missing[*]})"
}

# Makes sure of commands, given as pairs of a command and its Debian package. As root on Debian what is missing is
# installed; otherwise one sentence names all of it.
need() {
    local packages=() commands=()
    while [ $# -gt 0 ]; do
        if ! command -v "$1" >/dev/null; then
            commands+=("$1")
            packages+=("$2")
        fi
        shift 2
    done
    [ "${#packages[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "missing: ${commands[*]}. Install on Debian as root: apt-get install ${packages[*]}"
    fi
    install_packages "${packages[@]}"
}

install_packages() {
    local log
    log=$(mktemp)
    # Several stacks may find the same thing missing at once: apt-get waits for the other's lock.
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    say "installing $*"
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        fail "could not install $* with apt-get (is there a network?)"
    fi
    rm -f "$log"
    # The package starts a server of its own where systemd runs; the stack wants only the program.
    if [[ " $* " == *" redis-server "* ]] && [ -d /run/systemd/system ]; then
        systemctl disable --now --quiet redis-server || true
    fi
}

# Seconds with one digit since a moment in milliseconds.
milliseconds() {
    local now=${EPOCHREALTIME/[.,]/}
    echo "${now%???}"
}

seconds_since() {
    local passed=$(($(milliseconds) - $1))
    printf '%d.%d' $((passed / 1000)) $((passed % 1000 / 100))
}
