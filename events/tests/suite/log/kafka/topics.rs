//! What an operator, or somebody else, does to the topics of a log.

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::support::{PATIENCE, wait_until};
use crate::log::support::wait;

/// An operator's client.
pub(crate) struct Operator {
    admin: AdminClient<DefaultClientContext>,
    producer: BaseProducer,
}

impl Operator {
    pub(crate) fn of(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        Self { admin: config.create().unwrap(), producer: config.create().unwrap() }
    }

    /// Makes a topic as the log would, but for these settings.
    pub(crate) fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let right = [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (name, value) in right.iter().filter(|(name, _)| settings.iter().all(|(other, _)| name != other))
        {
            topic = topic.set(name, value);
        }
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        for result in wait(self.admin.create_topics([&topic], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
        wait_until("the topic is there", || self.exists(name));
    }

    fn exists(&self, name: &str) -> bool {
        let metadata = self.admin.inner().fetch_metadata(Some(name), PATIENCE).unwrap();
        metadata.topics().iter().all(|topic| topic.error().is_none())
    }

    /// Deletes a topic.
    pub(crate) fn delete(&self, name: &str) {
        for result in wait(self.admin.delete_topics(&[name], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
        wait_until("the topic is gone", || !self.exists(name));
    }

    /// Gives a topic this one setting, and takes its others back.
    pub(crate) fn alter(&self, name: &str, setting: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(setting, value);
        for result in wait(self.admin.alter_configs([&change], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
    }

    /// Deletes the records before `offset` in partition 0.
    pub(crate) fn delete_records(&self, topic: &str, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
        wait(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// Writes a record to partition 0.
    pub(crate) fn write(&self, topic: &str, key: &str, headers: &[(&str, &str)], value: &[u8]) {
        let mut owned = OwnedHeaders::new();
        for (key, value) in headers {
            owned = owned.insert(Header { key, value: Some(*value) });
        }
        let record = BaseRecord::to(topic).partition(0).key(key).payload(value).headers(owned);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }
}
