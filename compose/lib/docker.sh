# shellcheck shell=bash
# The engine with containers: compose.yaml describes them, the brokers' settings come from the stack's folder.

docker_prepare() {
    need python3 python3
    docker compose version >/dev/null 2>&1 ||
        fail "a Docker engine runs, but 'docker compose' is missing (Debian: apt-get install docker-compose-v2;" \
            "or GUILDHALL_STACK_ENGINE=native)"
}

compose() (
    # Ports of servers that are not wanted still stand in the file: Compose fills in all of it, whatever it starts.
    for service in kafka-1 kafka-2 kafka-3 mongo-1 mongo-2 mongo-3 redis-1; do
        variable=${service^^}
        export "STACK_${variable/-/_}=${port[$service]:-0}"
    done
    STACK_STATE=$(folder)
    STACK_CLUSTER=$cluster
    STACK_MONGOD_OPTIONS=$(mongod_options)
    export STACK_STATE STACK_CLUSTER STACK_MONGOD_OPTIONS
    docker compose --project-name "guildhall-stack-$UID-$name" --file "$here/compose.yaml" \
        --file "$(folder ports.yaml)" "$@"
)

docker_start() {
    local place
    place=$(folder "$1")
    if [ ! -d "$place" ]; then
        mkdir -p "$place"
        write_published_ports
        if [[ $1 == kafka-* ]]; then
            render_broker "$1" 0.0.0.0 /var/lib/kafka/data >"$place/server.properties"
            chmod a+r "$place/server.properties"
        fi
    fi
    if ! compose up --detach --no-recreate --quiet-pull "$1" >>"$place/log" 2>&1; then
        if grep -q -i -E "already allocated|already in use" "$place/log"; then return "$port_taken"; fi
        tail -n 5 "$place/log" >&2
        return 1
    fi
}

# All servers share the network of one container, which publishes each port under its own number: so 127.0.0.1:PORT
# is the same server inside and outside, as replica sets and brokers need it.
write_published_ports() {
    local service
    {
        echo "services:"
        echo "  network:"
        echo "    ports:"
        for service in "${services[@]}"; do echo "      - \"127.0.0.1:${port[$service]}:${port[$service]}\""; done
    } >"$(folder ports.yaml)"
}

docker_signal() {
    case $2 in
        KILL) compose kill --signal KILL "$1" ;;
        STOP) compose pause "$1" ;;
        CONT) compose unpause "$1" ;;
    esac >/dev/null 2>&1 || fail "docker compose could not send $2 to $1"
}

docker_condition() {
    local container state
    container=$(docker_process "$1")
    state=$(docker inspect --format '{{.State.Status}}' "$container" 2>/dev/null || true)
    case $state in
        running | paused) echo "$state" ;;
        *) echo gone ;;
    esac
}

# The published port takes connections as soon as its container runs; the question that follows shows the server itself.
docker_listens() {
    (: <>"/dev/tcp/127.0.0.1/${port[$1]}") 2>/dev/null
}

docker_process() {
    compose ps --all --quiet "$1" 2>/dev/null | cut -c1-12
}

docker_memory() {
    docker stats --no-stream --format '{{.MemUsage}}' "$(docker_process "$1")" 2>/dev/null | sed 's, / .*,,'
}

docker_log() {
    cat "$(folder "$1")/log" 2>/dev/null || true
    compose logs --no-log-prefix "$1" 2>&1 || true
}

docker_logs() {
    compose logs ${follow:+--follow} "$@"
}

docker_remove() {
    [ -e "$(folder ports.yaml)" ] || return 0
    compose down --volumes --remove-orphans --timeout 0 >/dev/null 2>&1 ||
        say "docker compose could not remove all of stack '$name'"
}
