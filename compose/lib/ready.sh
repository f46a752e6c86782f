# shellcheck shell=bash
# Waiting until servers are really ready: a record acknowledged by all brokers, a primary elected, a PONG.

patience=${GUILDHALL_STACK_PATIENCE:-90}
# What start-up answers when somebody else took a port between choosing and binding it.
port_taken=75

# Repeats a question about a service until it is answered with yes. Ends early when the server has ended.
await() {
    local service=$1 deadline=$((SECONDS + patience)) answer
    shift
    until answer=$("$@" 2>&1); do
        if [ "$("${engine}_condition" "$service")" = gone ]; then
            if "${engine}_log" "$service" | grep -q -i "address already in use"; then return "$port_taken"; fi
            complain "$service ended while it was starting" "$service"
            return 1
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            complain "$service is not ready after $patience s${answer:+ ($answer)}" "$service"
            return 1
        fi
        sleep 0.1
    done
}


complain() {
    say "$1; its last lines:"
    "${engine}_log" "$2" | tail -n 15 | cut -c1-300 | sed 's/^/    /' >&2
}

kafka_answers() {
    # shellcheck disable=SC2046 # one word per broker
    python3 "$here/lib/kafka_ready.py" $(addresses ' ' "$@")
}

mongo_answers() {
    # shellcheck disable=SC2046 # one word per member
    python3 "$here/lib/mongo.py" ready $(addresses ' ' "$@")
}

mongo_forms() {
    # shellcheck disable=SC2046 # one word per member
    python3 "$here/lib/mongo.py" form $(addresses ' ' "$@")
}

redis_answers() {
    (
        exec {connection}<>"/dev/tcp/127.0.0.1/${port[$1]}"
        printf 'PING\r\n' >&"$connection"
        read -r -t 2 answer <&"$connection"
        [ "$answer" = $'+PONG\r' ]
    ) 2>/dev/null
}

# Waits for all services of the stack.
await_all() {
    local began=$1 kafka mongo redis
    mapfile -t redis < <(of_kind redis)
    mapfile -t mongo < <(of_kind mongo)
    mapfile -t kafka < <(of_kind kafka)
    if [ "${#redis[@]}" -gt 0 ]; then
        await_each redis_answers redis-1 || return
        say "Redis is ready on $(addresses , redis-1) after $(seconds_since "$began") s"
    fi
    if [ "${#mongo[@]}" -gt 0 ]; then
        await_each mongo_forms "${mongo[@]}" || return
        await mongo-1 mongo_answers "${mongo[@]}" || return
        say "MongoDB is ready on $(addresses , "${mongo[@]}") after $(seconds_since "$began") s"
    fi
    if [ "${#kafka[@]}" -gt 0 ]; then
        await_each kafka_answers "${kafka[@]}" || return
        say "Kafka is ready on $(addresses , "${kafka[@]}") after $(seconds_since "$began") s"
    fi
}

# First each server by itself, so that one that has ended is named; then the question to all of them.
await_each() {
    local question=$1 service
    shift
    for service in "$@"; do await "$service" "${engine}_listens" "$service" || return; done
    await "$1" "$question" "$@"
}

# A server that was started again is ready when it works together with those that live. Without a majority there is
# nothing to wait for but its port.
await_return() {
    local service=$1 kind=${1%-*} other all=0 alive=()
    for other in $(of_kind "$kind"); do
        all=$((all + 1))
        if [ "$("${engine}_condition" "$other")" = running ]; then alive+=("$other"); fi
    done
    if [ $((${#alive[@]} * 2)) -gt "$all" ]; then
        await "$service" "${engine}_listens" "$service" || return
        await "$service" alive_answer "$kind"
    else
        say "${#alive[@]} of $all $kind servers run: no majority yet"
    fi
}

# The servers of a kind that run at this moment work together: others may come back while one is waited for.
alive_answer() {
    local other alive=()
    for other in $(of_kind "$1"); do
        if [ "$("${engine}_condition" "$other")" = running ]; then alive+=("$other"); fi
    done
    "${1}_answers" "${alive[@]}"
}
