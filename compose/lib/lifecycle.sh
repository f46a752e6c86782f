# shellcheck shell=bash
# The commands that start, stop and show stacks.

# Set while a stack of ours is to be removed at exit.
unfinished=
# The process that watches a run.
guardian=

# Runs at every exit, also by a signal.
finish() {
    local status=$?
    trap '' INT TERM HUP
    set +e
    # A child that is between its birth and its mark is still a job; the shell's messages about its end are not wanted.
    local unmarked
    unmarked=$(jobs -p)
    disown -a
    # shellcheck disable=SC2086 # one word per process
    if [ -n "$unmarked" ]; then kill -s KILL $unmarked 2>/dev/null; fi
    if [ -n "$fetching" ]; then end_fetch; fi
    if [ -n "$unfinished" ]; then remove_stack; fi
    if [ -n "$guardian" ]; then kill -s KILL -- "-$guardian" 2>/dev/null; fi
    exit "$status"
}

remove_stack() {
    unfinished=
    clear_away
    rmdir "$root" 2>/dev/null || true
}

new_cluster() {
    head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | cut -c1-22
}

# Starts the stack `name`; it is removed again when that fails or is interrupted.
bring_up() {
    choose_engine
    list_services
    "${engine}_prepare"
    alone claim || fail "a stack '$name' is up already (compose/stack status; compose/stack down)"
    unfinished=yes
    cluster=$(new_cluster)
    local attempt status began
    for attempt in 1 2 3; do
        began=$(milliseconds)
        alone choose_ports || fail "no free ports"
        status=0
        start_all "$began" || status=$?
        if [ "$status" -eq 0 ]; then return; fi
        [ "$status" -eq "$port_taken" ] || break
        say "another program took one of the ports (attempt $attempt); choosing others"
        start_over
    done
    fail "the stack did not start"
}

start_all() {
    local service
    for service in "${services[@]}"; do "${engine}_start" "$service" || return; done
    await_all "$1"
}

start_over() {
    local service
    "${engine}_remove"
    for service in "${services[@]}"; do rm -rf "$(folder "$service")"; done
}

command_up() {
    bring_up
    # From here on the stack lives by itself.
    owner=
    save
    unfinished=
    say "settings: eval \"\$(compose/stack env${named:+ --name $name})\""
}

command_down() {
    local known
    if [ -n "$all" ]; then
        for known in $(names); do
            name=$known
            remove_stack
        done
    elif [ -d "$(folder)" ]; then
        remove_stack
    else
        say "no stack '$name' is up"
    fi
}

command_fetch() {
    engine=native
    native_prepare
    say "the cache $cache is complete"
}

settings() {
    load
    local kafka mongo redis
    kafka=$(addresses_of_kind , kafka)
    mongo=$(addresses_of_kind , mongo)
    redis=$(addresses_of_kind , redis)
    echo "export GUILDHALL_STACK_NAME='$name'"
    echo "export GUILDHALL_STACK_STATE='$(folder)'"
    if [ -n "$kafka" ]; then echo "export GUILDHALL_STACK_KAFKA='$kafka'"; fi
    if [ -n "$mongo" ]; then echo "export GUILDHALL_STACK_MONGO='mongodb://$mongo/?replicaSet=rs0'"; fi
    if [ -n "$redis" ]; then echo "export GUILDHALL_STACK_REDIS='redis://$redis/'"; fi
}

command_env() {
    load_existing
    settings
}

command_status() {
    local known status=0
    if [ -z "$all" ]; then
        load_existing
        show_status || status=1
        return "$status"
    fi
    for known in $(names); do
        name=$known
        load
        show_status || status=1
    done
    return "$status"
}

# One line a server; 1 unless all of them run.
show_status() {
    local service condition status=0
    echo "$name ($engine, in $(folder))"
    for service in "${services[@]}"; do
        condition=$("${engine}_condition" "$service")
        if [ "$condition" = running ]; then
            printf '  %-8s %-8s port %-6s process %-12s %s\n' "$service" "$condition" "${port[$service]:--}" \
                "$("${engine}_process" "$service")" "$("${engine}_memory" "$service")"
        else
            printf '  %-8s %-8s port %s\n' "$service" "$condition" "${port[$service]:--}"
            status=1
        fi
    done
    return "$status"
}

command_logs() {
    load_existing
    local wanted=("${services[@]}")
    if [ -n "$1" ]; then mapfile -t wanted < <(matching "$1"); fi
    "${engine}_logs" "${wanted[@]}"
}

# The services a word means: one (kafka-2) or all of a kind (kafka).
matching() {
    local service found=
    for service in "${services[@]}"; do
        if [ "$service" = "$1" ] || [ "${service%-*}" = "$1" ]; then
            echo "$service"
            found=yes
        fi
    done
    [ -n "$found" ] || misused "no service '$1' in stack '$name', which has: ${services[*]}"
}

command_fault() {
    local act=$1 service condition
    load_existing
    service=$(matching "$2")
    [ "$(wc -w <<<"$service")" -eq 1 ] || misused "'$2' means several services: $(tr '\n' ' ' <<<"$service")"
    condition=$("${engine}_condition" "$service")
    case $act-$condition in
        start-gone) start_again "$service" ;;
        start-*) fail "$service is already $condition" ;;
        *-gone) fail "$service does not run (compose/stack start $service)" ;;
        kill-*) "${engine}_signal" "$service" KILL ;;
        pause-*) "${engine}_signal" "$service" STOP ;;
        resume-*) "${engine}_signal" "$service" CONT ;;
    esac
}

start_again() {
    local began
    began=$(milliseconds)
    "${engine}_start" "$1"
    await_return "$1" || fail "$1 did not come back"
    say "$1 is back after $(seconds_since "$began") s"
}

command_run() {
    if ! command -v -- "$1" >/dev/null; then
        say "there is no command '$1'"
        exit 127
    fi
    if [ -z "$named" ]; then name=run-$$; fi
    local child status
    if [ -n "$or_without" ]; then leave_out_missing; fi
    if [ -n "$only" ]; then
        setsid "$here/stack" guard "$name" "$$ $(started_at $$)" >/dev/null 2>&1 </dev/null &
        guardian=$!
        bring_up
        eval "$(settings)"
    fi
    # The default handling of signals, which the shell takes from what it starts in the background.
    (
        trap - INT QUIT TERM HUP EXIT
        exec "$@"
    ) <&0 &
    child=$!
    trap 'forward INT "$child"' INT
    trap 'forward TERM "$child"' TERM
    trap 'forward HUP "$child"' HUP
    # A signal ends `wait` early, so it is asked until the command has ended; then it answers with the command's status.
    while [ -n "$(started_at "$child")" ]; do wait "$child" || true; done
    status=0
    wait "$child" || status=$?
    if [ -n "${GUILDHALL_STACK_MISSING:-}" ]; then
        say "left out: $GUILDHALL_STACK_MISSING"
        if [ "$status" -eq 0 ]; then status=3; fi
    fi
    exit "$status"
}

# Takes out of `only` what cannot be had on this machine, and says why in GUILDHALL_STACK_MISSING. Each kind is prepared in
# a process of its own: what fails there ends only that.
leave_out_missing() {
    local kinds kind child had='' missing=''
    choose_engine
    notes=$(mktemp)
    IFS=, read -r -a kinds <<<"$only"
    for kind in "${kinds[@]}"; do
        (
            trap finish EXIT
            trap 'exit 143' TERM
            only=$kind
            "${engine}_prepare"
        ) &
        child=$!
        trap 'give_up "$child" 129' HUP
        trap 'give_up "$child" 130' INT
        trap 'give_up "$child" 143' TERM
        if wait "$child"; then
            had+=${had:+,}$kind
        else
            missing+="${missing:+; }$kind ($(tail -n 1 "$notes"))"
        fi
    done
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    rm -f "$notes"
    notes=
    only=$had
    if [ -n "$missing" ]; then
        export GUILDHALL_STACK_MISSING=$missing
        say "left out: $missing"
    fi
}

forwarded=0

# Hands a signal to the command and all it started; the third time there is no more asking.
forward() {
    local signal=$1 family
    forwarded=$((forwarded + 1))
    # At a terminal, Ctrl-C has reached all of them already.
    if [ "$signal" = INT ] && [ -t 0 ] && [ "$forwarded" -lt 3 ]; then return; fi
    if [ "$forwarded" -ge 3 ]; then signal=KILL; fi
    family=$(descendants "$2")
    # shellcheck disable=SC2086 # one word per process
    kill -s "$signal" $family 2>/dev/null || true
}

# Outlives a `run` that was killed with -9, and removes its stack; a stack of that name that is not its own stays.
guard() {
    # shellcheck disable=SC2086 # a process id and its start
    while is_process $1; do sleep 1; done
    load
    if [ "$owner" = "$1" ]; then remove_stack; fi
}

# A signal came while something was being prepared: that ends first, and tidies up.
give_up() {
    kill -s TERM "$1" 2>/dev/null
    wait "$1"
    rm -f "$notes"
    exit "$2"
}
