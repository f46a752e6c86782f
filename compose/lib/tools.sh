# shellcheck shell=bash
# The admin tools of the servers, aimed at the current stack.

kafka_tool_class() {
    case $1 in
        kafka-topics) echo org.apache.kafka.tools.TopicCommand ;;
        kafka-configs) echo kafka.admin.ConfigCommand ;;
        kafka-console-producer) echo org.apache.kafka.tools.ConsoleProducer ;;
        kafka-console-consumer) echo org.apache.kafka.tools.consumer.ConsoleConsumer ;;
        kafka-consumer-groups) echo org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
        kafka-get-offsets) echo org.apache.kafka.tools.GetOffsetShell ;;
        kafka-delete-records) echo org.apache.kafka.tools.DeleteRecordsCommand ;;
        kafka-leader-election) echo org.apache.kafka.tools.LeaderElectionCommand ;;
        kafka-reassign-partitions) echo org.apache.kafka.tools.reassign.ReassignPartitionsCommand ;;
        kafka-transactions) echo org.apache.kafka.tools.TransactionsCommand ;;
        kafka-metadata-quorum) echo org.apache.kafka.tools.MetadataQuorumCommand ;;
        *) misused "unknown tool '$1'; there are kafka-topics, kafka-configs, kafka-console-producer," \
            "kafka-console-consumer, kafka-consumer-groups, kafka-get-offsets, kafka-delete-records," \
            "kafka-leader-election, kafka-reassign-partitions, kafka-transactions, kafka-metadata-quorum, kcat" \
            "and redis-cli" ;;
    esac
}

command_tool() {
    local tool=$1
    shift
    load_existing
    case $tool in
        kcat)
            must_have kafka
            need kcat kcat
            exec kcat -b "$(addresses_of_kind , kafka)" "$@"
            ;;
        redis-cli)
            must_have redis
            need redis-cli redis-tools
            exec redis-cli -p "${port[redis-1]}" "$@"
            ;;
        *) kafka_tool "$tool" "$@" ;;
    esac
}

must_have() {
    [ -n "$(of_kind "$1")" ] || fail "stack '$name' has no $1"
}

kafka_tool() {
    local tool=$1 class
    class=$(kafka_tool_class "$tool")
    must_have kafka
    shift
    set -- --bootstrap-server "$(addresses_of_kind , kafka)" "$@"
    if [ "$engine" = docker ]; then
        # Any broker that runs can be asked; its container holds the tools.
        local service
        for service in $(of_kind kafka); do
            if [ "$(docker_condition "$service")" = running ]; then
                compose exec --no-TTY "$service" "/opt/kafka/bin/$tool.sh" "$@"
                return
            fi
        done
        fail "no broker runs"
    fi
    need java openjdk-17-jre-headless
    local java
    set_java "-XX:SharedArchiveFile=$(archive_path)" -Xmx128m -Dstack.log.level=warn
    exec "${java[@]}" "$class" "$@"
}
