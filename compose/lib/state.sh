# shellcheck shell=bash
# What a stack is: a folder per name with its settings (engine, services, ports) and a folder per server.

root=${TMPDIR:-/tmp}/guildhall-stack-$UID
declare -A port=() controller=()
services=()
engine=
cluster=
owner=

folder() {
    echo "$root/$name${1:+/$1}"
}

choose_engine() {
    engine=${GUILDHALL_STACK_ENGINE:-}
    case $engine in
        native | docker) ;;
        '')
            if command -v docker >/dev/null && docker info >/dev/null 2>&1; then engine=docker; else engine=native; fi
            ;;
        *) misused "GUILDHALL_STACK_ENGINE is native or docker, not '$engine'" ;;
    esac
}

list_services() {
    services=()
    local number
    for number in 1 2 3; do
        if [[ $only == *kafka* ]] && [ "$number" -le "$brokers" ]; then services+=("kafka-$number"); fi
    done
    for number in 1 2 3; do
        if [[ $only == *mongo* ]] && [ "$number" -le "$mongos" ]; then services+=("mongo-$number"); fi
    done
    if [[ $only == *redis* ]]; then services+=(redis-1); fi
}

# The services of one kind, such as kafka.
of_kind() {
    local service
    for service in "${services[@]}"; do
        if [[ $service == "$1"-* ]]; then echo "$service"; fi
    done
}

# HOST:PORT of services, with a separator between them.
addresses() {
    local separator=$1 service joined=
    shift
    for service in "$@"; do joined+=${joined:+$separator}127.0.0.1:${port[$service]}; done
    echo "$joined"
}

addresses_of_kind() {
    # shellcheck disable=SC2046 # one word per service
    addresses "$1" $(of_kind "$2")
}

# Runs a function while no other stack of this user can claim a name or choose ports.
alone() {
    local status=0
    while true; do
        (umask 077 && mkdir -p "$root") || fail "cannot write $root (TMPDIR moves it)"
        [ -O "$root" ] || fail "$root belongs to somebody else; set TMPDIR"
        exec 8<"$root" || continue
        flock 8
        # The last stack may have removed the folder while we waited for its lock.
        if [ "$root" -ef /proc/self/fd/8 ]; then break; fi
        exec 8<&-
    done
    "$@" || status=$?
    exec 8<&-
    return "$status"
}

# Takes the name: 1 when a living stack has it. What a dead one left is removed.
claim() {
    if [ -d "$(folder)" ]; then
        if holds_name; then return 1; fi
        say "removing what an earlier stack '$name' left behind"
        clear_away
    fi
    mkdir -p "$(folder)" || fail "cannot write $(folder)"
    owner="$$ $(started_at $$)"
    echo "owner='$owner'" >"$(folder settings)"
}

# A stack lives while one of its servers does, or the process that is just starting it.
holds_name() (
    load
    # shellcheck disable=SC2086 # a process id and its start
    if is_process $owner; then exit 0; fi
    for service in "${services[@]}"; do
        if [ "$("${engine}_condition" "$service")" != gone ]; then exit 0; fi
    done
    exit 1
)

choose_ports() {
    local service taken chosen wanted=$((${#services[@]} + brokers))
    taken=$(sed -n 's/^\(port\|controller\)\[.*\]=//p' "$root"/*/settings 2>/dev/null || true)
    # shellcheck disable=SC2086 # one word per port
    read -r -a chosen <<<"$(python3 "$here/lib/ports.py" "$wanted" $taken)"
    [ "${#chosen[@]}" -eq "$wanted" ] || return 1
    port=() controller=()
    for service in "${services[@]}"; do
        port[$service]=${chosen[0]}
        chosen=("${chosen[@]:1}")
        if [[ $service == kafka-* ]]; then
            controller[$service]=${chosen[0]}
            chosen=("${chosen[@]:1}")
        fi
    done
    save
}

save() {
    local service
    {
        echo "owner='$owner'"
        echo "engine=$engine"
        echo "brokers=$brokers"
        echo "mongos=$mongos"
        echo "cluster=$cluster"
        echo "services=(${services[*]})"
        for service in "${!port[@]}"; do echo "port[$service]=${port[$service]}"; done
        for service in "${!controller[@]}"; do echo "controller[$service]=${controller[$service]}"; done
    } >"$(folder settings.new)"
    mv "$(folder settings.new)" "$(folder settings)"
}

load() {
    engine='' services=() port=() controller=() owner=''
    # shellcheck source=/dev/null
    if [ -r "$(folder settings)" ]; then . "$(folder settings)"; fi
}

# For commands on a stack that must be there.
load_existing() {
    [ -r "$(folder settings)" ] || fail "no stack '$name' is up (compose/stack up${named:+ --name $name})"
    load
}

# Stops whatever runs under the name, and removes its folder. A shell of its own: it loads what that stack was.
clear_away() (
    load
    case $engine in
        docker) docker_remove ;;
        *) native_remove ;;
    esac
    rm -rf "$(folder)"
)

names() {
    local settings
    for settings in "$root"/*/settings; do
        if [ -e "$settings" ]; then basename "$(dirname "$settings")"; fi
    done
}
