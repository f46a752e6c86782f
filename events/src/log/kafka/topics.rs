//! The topics of a log: their names, how they must be, and which partition is which.

use rdkafka::TopicPartitionList;

use crate::{
    kafka::{Cluster, TopicPlan, TopicSetting, Wanted, partition_of},
    stream::{Offset, Partition, Service, StreamId},
};

/// A record may wait this long in a writer before a broker takes it, with room to spare; milliseconds.
const RECORD_AGE_MIN_MS: u64 = 600_000;

/// Bytes that a record of the identity may have; far more than it needs.
pub(super) const IDENTITY_BYTES_MAX: usize = 1024;

/// The topics of the services with their numbers of partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topics {
    services: Vec<ServiceTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ServiceTopic {
    service: Service,
    name: String,
    partitions: u16,
}

/// The topic that says which log it is.
pub(super) fn identity_topic(prefix: &str) -> String {
    format!("{prefix}.log")
}

/// The topic of a service's streams.
pub(super) fn events_topic(prefix: &str, service: Service) -> String {
    format!("{prefix}.{service}.events")
}

/// How the topic must be that says which log it is.
pub(super) fn identity_plan(prefix: &str) -> TopicPlan {
    plan(identity_topic(prefix), 1, IDENTITY_BYTES_MAX)
}

/// How a topic of the log must be: nothing on it may ever go by itself, and it takes every record we send.
fn plan(name: String, partitions: u16, commit_bytes_max: usize) -> TopicPlan {
    let bytes = Cluster::record_bytes_max(commit_bytes_max) as u64;
    let age = TopicSetting {
        name: "message.timestamp.before.max.ms",
        wanted: Wanted::AtLeast(RECORD_AGE_MIN_MS),
        made_with: Some("9223372036854775807"),
    };
    let settings = vec![
        TopicSetting::new("cleanup.policy", Wanted::Is("delete")),
        TopicSetting::new("retention.ms", Wanted::Is("-1")),
        TopicSetting::new("retention.bytes", Wanted::Is("-1")),
        TopicSetting::new("max.message.bytes", Wanted::AtLeast(bytes)),
        age,
    ];
    TopicPlan { name, partitions, settings }
}

impl Topics {
    /// The topics of a log with this prefix and these numbers of partitions.
    pub(super) fn new(prefix: &str, partitions: &[(Service, u16)]) -> Self {
        let topic = |(service, partitions): &(Service, u16)| ServiceTopic {
            service: *service,
            name: events_topic(prefix, *service),
            partitions: *partitions,
        };
        Self { services: partitions.iter().map(topic).collect() }
    }

    /// How each must be.
    pub(super) fn plans(&self, commit_bytes_max: usize) -> Vec<TopicPlan> {
        self.services
            .iter()
            .map(|topic| plan(topic.name.clone(), topic.partitions, commit_bytes_max))
            .collect()
    }

    /// Every partition, in order.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        let mut partitions: Vec<Partition> = self
            .services
            .iter()
            .flat_map(|topic| {
                (0..topic.partitions).map(|number| Partition { service: topic.service, number })
            })
            .collect();
        partitions.sort();
        partitions
    }

    /// Where a stream's commits go.
    pub(super) fn partition_of(&self, stream: StreamId) -> Partition {
        let service = stream.category.service();
        let topic = self.services.iter().find(|topic| topic.service == service);
        // Every service has a topic: the identity of a log is completed before it is used.
        let partitions = topic.map_or(1, |topic| topic.partitions);
        Partition { service, number: partition_of(stream.to_string().as_bytes(), partitions) }
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|topic| topic.name.as_str())
    }

    /// The name of a service's topic.
    pub(super) fn name(&self, service: Service) -> &str {
        self.services.iter().find(|topic| topic.service == service).map_or("", |topic| &topic.name)
    }

    /// The services, each with a topic.
    pub(super) fn services(&self) -> impl Iterator<Item = Service> {
        self.services.iter().map(|topic| topic.service)
    }

    /// The partition that the cluster calls so; `None` when it is none of ours.
    pub(super) fn partition(&self, topic: &str, number: i32) -> Option<Partition> {
        let known = self.services.iter().find(|known| known.name == topic)?;
        self.partition_of_service(known.service, number)
    }

    /// The partition of a service's topic that the cluster calls so; `None` when it is none of ours.
    pub(super) fn partition_of_service(&self, service: Service, number: i32) -> Option<Partition> {
        let known = self.services.iter().find(|known| known.service == service)?;
        let number = u16::try_from(number).ok().filter(|number| *number < known.partitions)?;
        Some(Partition { service, number })
    }

    /// A list for librdkafka. What cannot be an offset is left out; none of ours is such.
    pub(super) fn list(
        &self,
        places: impl IntoIterator<Item = (Partition, rdkafka::Offset)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in places {
            let topic = self.name(partition.service);
            let added = list.add_partition_offset(topic, i32::from(partition.number), offset);
            debug_assert!(added.is_ok(), "an offset of ours is one of Kafka's");
        }
        list
    }

    /// `jobs/3` as an operator of the cluster calls it.
    pub(super) fn describe(&self, partition: Partition) -> String {
        format!("the topic {}, partition {},", self.name(partition.service), partition.number)
    }
}

/// The place behind `offset`, for librdkafka.
pub(super) fn behind(offset: Offset) -> rdkafka::Offset {
    rdkafka::Offset::Offset(offset.max(crate::stream::BEFORE_FIRST) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Category, ids::JobId};

    #[test]
    fn a_stream_has_one_partition_and_the_cluster_calls_it_by_the_same_number() {
        let topics = Topics::new("t", &[(Service::Jobs, 8), (Service::Identity, 2)]);
        let streams: Vec<StreamId> = (0..200).map(|_| StreamId::new(Category::Job, JobId::fresh())).collect();
        for stream in &streams {
            let partition = topics.partition_of(*stream);
            assert_eq!(topics.partition("t.jobs.events", i32::from(partition.number)), Some(partition));
        }
        let all = topics.partitions();
        assert_eq!(all.len(), 10);
        assert!(all.is_sorted() && streams.iter().any(|stream| topics.partition_of(*stream).number == 7));
        assert_eq!(topics.partition("t.jobs.events", 8), None);
        assert_eq!(topics.partition("t.jobs", 0), None);
    }
}
