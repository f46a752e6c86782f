# shellcheck shell=bash
# The engine without containers: each server is a process, its folder holds start script, process id, log and data.

native_prepare() {
    local wanted=(python3 python3)
    if [[ $only == *redis* ]]; then wanted+=(redis-server redis-server); fi
    if [[ $only == *kafka* ]]; then
        wanted+=(java openjdk-17-jre-headless)
        if [ ! -d "$kafka_home" ]; then wanted+=(mvn maven); fi
    fi
    # pip is a module rather than a command.
    if [[ $only == *mongo* ]] && [ ! -d "$mongod_home" ] && ! python3 -m pip --version >/dev/null 2>&1; then
        wanted+=(python3-pip python3-pip)
    fi
    need "${wanted[@]}"
    if [[ $only == *kafka* ]]; then provide_kafka; fi
    if [[ $only == *mongo* ]]; then provide_mongod; fi
}

native_start() {
    local service=$1 place
    place=$(folder "$service")
    if [ ! -d "$place" ]; then
        mkdir -p "$place/data"
        "native_write_${service%-*}" "$service" "$place"
        chmod +x "$place/start"
    fi
    launch "$service"
}

native_write_kafka() {
    render_broker "$1" 127.0.0.1 "$2/data" >"$2/server.properties"
    local java format serve
    set_java "-XX:SharedArchiveFile=$(archive_path)" -Xmx128m
    format=$(printf '%q ' "${java[@]}" kafka.tools.StorageTool format \
        --cluster-id="$cluster" --config=server.properties)
    # Only while the archive is made there is another option.
    set_java "${archive_option:--XX:SharedArchiveFile=$(archive_path)}" "${broker_options[@]}"
    serve=$(printf '%q ' "${java[@]}" kafka.Kafka server.properties)
    cat >"$2/start" <<TEXT
#!/bin/sh
[ -e data/meta.properties ] || $format || exit
exec $serve
TEXT
}

native_write_mongo() {
    cat >"$2/start" <<TEXT
#!/bin/sh
exec '$mongod_home/mongod' --port ${port[$1]} --bind_ip 127.0.0.1 --dbpath data $(mongod_options)
TEXT
}

native_write_redis() {
    cat >"$2/start" <<TEXT
#!/bin/sh
exec redis-server --port ${port[$1]} --bind 127.0.0.1 --dir data --save '' --appendonly no
TEXT
}

# Small caches, no diagnostics: the data of tests.
mongod_options() {
    echo "--replSet rs0 --wiredTigerCacheSizeGB ${GUILDHALL_STACK_MONGO_CACHE_GB:-0.25} --oplogSize 64 --nounixsocket --quiet" \
        "--setParameter shutdownTimeoutMillisForSignaledShutdown=0" \
        "--setParameter diagnosticDataCollectionEnabled=false"
}

# The settings of one broker: SERVICE, the address it binds, its data folder.
render_broker() {
    local service=$1 bind=$2 node voters=
    for node in $(of_kind kafka); do voters+=${voters:+,}${node#kafka-}@127.0.0.1:${controller[$node]}; done
    cat "$here/kafka.properties"
    if [ "$brokers" -gt 1 ]; then cat "$here/kafka-cluster.properties"; else cat "$here/kafka-single.properties"; fi
    cat <<TEXT
node.id=${service#kafka-}
controller.quorum.voters=$voters
listeners=BROKER://$bind:${port[$service]},CONTROLLER://$bind:${controller[$service]}
advertised.listeners=BROKER://127.0.0.1:${port[$service]},CONTROLLER://127.0.0.1:${controller[$service]}
log.dirs=$3
TEXT
}

native_signal() {
    signal_process "$1" "$2"
    if [ "$2" = KILL ]; then wait_until_gone "$1"; fi
}

native_condition() {
    # shellcheck disable=SC2046 # a process id and its start
    condition_of_process $(process_of "$1")
}

native_listens() {
    listens "$1"
}

native_process() {
    local identity
    read -r -a identity <<<"$(process_of "$1")"
    echo "${identity[0]:-}"
}

native_memory() {
    local pid
    pid=$(native_process "$1")
    sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status" 2>/dev/null |
        awk '{ printf "%d MB", $1 / 1024 }'
}

native_log() {
    cat "$(folder "$1")/log" 2>/dev/null || true
}

native_logs() {
    local files=() service
    for service in "$@"; do files+=("$(folder "$service")/log"); done
    if [ -n "$follow" ]; then exec tail -n 20 -F "${files[@]}"; fi
    tail -n +1 "${files[@]}"
}

# Data is thrown away with the folder, so nothing needs a gentle end.
native_remove() {
    local service
    for service in "${services[@]}"; do signal_process "$service" KILL; done
    for service in "${services[@]}"; do wait_until_gone "$service"; done
    end_marked_processes "$(folder)"
}
