//! Topics: made as they must be, or checked, and refused with a sentence when they could lose or reorder what is on them.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{ClientLog, Cluster, ClusterError, settings::client_error};

/// How long a topic that was made may take until every broker that is asked knows it.
const MADE_WAIT: Duration = Duration::from_secs(15);
/// How long a fault must stay before it is believed: brokers do not learn at once of a topic, nor of its settings.
const FAULT_WAIT: Duration = Duration::from_secs(3);
/// Between two looks at a topic that is not known yet, or not as it must be.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A topic as it must be.
#[derive(Clone, Debug)]
pub(crate) struct TopicPlan {
    /// Its name.
    pub(crate) name: String,
    /// Its partitions, at least one.
    pub(crate) partitions: u16,
    /// What must hold beside the replicas, which are checked on every topic.
    pub(crate) settings: Vec<TopicSetting>,
}

/// One setting of a topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicSetting {
    /// As Kafka calls it.
    pub(crate) name: &'static str,
    /// What must hold of it.
    pub(crate) wanted: Wanted,
    /// What a new topic gets; `None`: the bound itself.
    pub(crate) made_with: Option<&'static str>,
}

/// What must hold of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Exactly this.
    Is(&'static str),
    /// This number or more. A broker that does not know the setting is taken to set no bound.
    AtLeast(u64),
    /// This number or less.
    AtMost(u64),
    /// It is the operator's to choose; only new topics get ours.
    Anything,
}

/// What [`Admin::ensure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ensured {
    /// There was no such topic; now there is.
    Created,
    /// It was there, and is as it must be.
    Exists,
}

/// A client for topics. Dropping it takes up to 100 ms.
pub(crate) struct Admin {
    client: AdminClient<ClientLog>,
}

impl TopicSetting {
    /// A setting that must be this.
    pub(crate) const fn new(name: &'static str, wanted: Wanted) -> Self {
        Self { name, wanted, made_with: None }
    }

    fn new_value(&self) -> String {
        match (self.made_with, self.wanted) {
            (Some(value), _) | (None, Wanted::Is(value)) => value.to_owned(),
            (None, Wanted::AtLeast(bound) | Wanted::AtMost(bound)) => bound.to_string(),
            (None, Wanted::Anything) => String::new(),
        }
    }

    /// What is wrong with the value that a topic has; `None` when nothing is.
    fn fault(&self, topic: &str, value: Option<&str>) -> Option<String> {
        let name = self.name;
        let number = value.and_then(|value| value.parse::<u64>().ok());
        let wanted = match self.wanted {
            Wanted::Anything => return None,
            Wanted::Is(wanted) if value == Some(wanted) => return None,
            Wanted::Is(wanted) => wanted.to_owned(),
            Wanted::AtLeast(least) if value.is_none() || number.is_some_and(|number| number >= least) => {
                return None;
            }
            Wanted::AtLeast(least) => format!("{least} or more"),
            Wanted::AtMost(most) if number.is_some_and(|number| number <= most) => return None,
            Wanted::AtMost(most) => format!("{most} or less"),
        };
        let value = value.unwrap_or("not set");
        Some(format!(
            "the topic {topic} has {name} {value}, it must be {wanted}: set it with kafka-configs --alter"
        ))
    }
}

impl Admin {
    /// Makes the client; asks nothing.
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ClusterError> {
        config.create_with_context(ClientLog).map(|client| Self { client }).map_err(client_error)
    }

    /// Makes a topic, or checks the one there is: partitions, replicas, settings. Blocks until `deadline` at the most, and while
    /// a new topic spreads for [`MADE_WAIT`].
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when it is not, or cannot be made, as it must be; [`ClusterError::Away`].
    pub(crate) fn ensure(
        &self,
        cluster: &Cluster,
        plan: &TopicPlan,
        deadline: Instant,
    ) -> Result<Ensured, ClusterError> {
        let ensured = match self.replicas(&plan.name, deadline)? {
            Some(_) => Ensured::Exists,
            None => self.create(cluster, plan, deadline)?,
        };
        self.check(plan, deadline)?;
        Ok(ensured)
    }

    /// Checks a topic: partitions, replicas, settings.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when it is not there, or not as it must be; [`ClusterError::Away`].
    pub(crate) fn check(&self, plan: &TopicPlan, deadline: Instant) -> Result<(), ClusterError> {
        until_believed(|| self.check_once(plan, deadline))
    }

    fn check_once(&self, plan: &TopicPlan, deadline: Instant) -> Result<(), ClusterError> {
        let TopicPlan { name, partitions, settings } = plan;
        let replicas = self.replicas(name, deadline)?.ok_or_else(|| gone(name))?;
        if replicas.len() != usize::from(*partitions) {
            let found = replicas.len();
            return Err(ClusterError::Refused(format!(
                "the topic {name} has {found} partitions, it must have {partitions}: a stream's partition must never change, so make it with that number"
            )));
        }
        let entries = self.entries(&ResourceSpecifier::Topic(name), deadline)?;
        let value = |setting: &str| {
            entries.iter().find(|entry| entry.name == setting).and_then(|entry| entry.value.as_deref())
        };
        let fewest = replicas.iter().copied().min().unwrap_or(0);
        let most = replicas.iter().copied().max().unwrap_or(0);
        let in_sync = value("min.insync.replicas").and_then(|value| value.parse().ok()).unwrap_or(1);
        if let Some(fault) = replicas_fault(name, fewest, most, in_sync) {
            return Err(ClusterError::Refused(fault));
        }
        let unclean = TopicSetting::new("unclean.leader.election.enable", Wanted::Is("false"));
        let all = settings.iter().chain(std::iter::once(&unclean));
        match all.filter_map(|setting| setting.fault(name, value(setting.name))).next() {
            Some(fault) => Err(ClusterError::Refused(fault)),
            None => Ok(()),
        }
    }

    /// The replicas of each partition of a topic; `None` when there is no such topic.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when we may not see it; [`ClusterError::Away`].
    pub(crate) fn replicas(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Option<Vec<usize>>, ClusterError> {
        let found = self.client.inner().fetch_metadata(Some(topic), left(deadline)?);
        let metadata =
            found.map_err(|error| failure(&format!("the topic {topic} cannot be seen"), &error))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(found.partitions().iter().map(|partition| partition.replicas().len()).collect())),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(code_failure(&format!("the topic {topic} cannot be seen"), code)),
        }
    }

    /// What a topic has for one setting.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when we may not see it; [`ClusterError::Away`].
    pub(crate) fn setting(
        &self,
        topic: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<String>, ClusterError> {
        let entries = self.entries(&ResourceSpecifier::Topic(topic), deadline)?;
        Ok(entries.into_iter().find(|entry| entry.name == name).and_then(|entry| entry.value))
    }

    /// As [`Self::replicas`], for a topic that must be there.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] when it is gone, or we may not see it; [`ClusterError::Away`].
    pub(crate) fn replicas_of_existing(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<Vec<usize>, ClusterError> {
        until_believed(|| self.replicas(topic, deadline)?.ok_or_else(|| gone(topic)))
    }

    fn create(
        &self,
        cluster: &Cluster,
        plan: &TopicPlan,
        deadline: Instant,
    ) -> Result<Ensured, ClusterError> {
        let replication = match cluster.options().replication {
            Some(replication) => replication,
            None => self.default_replication(deadline)?,
        };
        let in_sync = replication.min(2).to_string();
        let values: Vec<(&str, String)> =
            plan.settings.iter().map(|setting| (setting.name, setting.new_value())).collect();
        let fixed = TopicReplication::Fixed(i32::from(replication));
        let mut topic = NewTopic::new(&plan.name, i32::from(plan.partitions), fixed)
            .set("min.insync.replicas", &in_sync)
            .set("unclean.leader.election.enable", "false");
        for (name, value) in &values {
            topic = topic.set(name, value);
        }
        let what = format!("the topic {} cannot be made", plan.name);
        let made = self.ask(&what, deadline, |options| self.client.create_topics([&topic], options))?;
        let ensured = match made.into_iter().next() {
            Some(Ok(_)) => Ensured::Created,
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ensured::Exists,
            Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) => {
                return Err(ClusterError::Refused(format!(
                    "{what}: the cluster has fewer brokers than the {replication} replicas wanted"
                )));
            }
            Some(Err((_, code))) => return Err(code_failure(&what, code)),
            None => return Err(ClusterError::Away(format!("{what}: no answer"))),
        };
        self.wait_for(plan)?;
        Ok(ensured)
    }

    /// A topic that was just made is not known to every broker yet.
    fn wait_for(&self, plan: &TopicPlan) -> Result<(), ClusterError> {
        let deadline = Instant::now() + MADE_WAIT;
        while self.replicas(&plan.name, deadline)?.is_none_or(|replicas| replicas.is_empty()) {
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// What the brokers would give a topic that does not say. Asked, because how many must be in sync depends on it.
    fn default_replication(&self, deadline: Instant) -> Result<u16, ClusterError> {
        let metadata = self.client.inner().fetch_metadata(None, left(deadline)?);
        let metadata = metadata.map_err(|error| failure("the cluster cannot be seen", &error))?;
        let broker = ResourceSpecifier::Broker(metadata.orig_broker_id());
        let entries = self.entries(&broker, deadline)?;
        let entry = entries.iter().find(|entry| entry.name == "default.replication.factor");
        entry.and_then(|entry| entry.value.as_deref()?.parse().ok()).ok_or_else(|| {
            ClusterError::Refused(
                "the brokers do not tell their default.replication.factor: set the replication of the log's topics"
                    .into(),
            )
        })
    }

    fn entries(
        &self,
        of: &ResourceSpecifier<'_>,
        deadline: Instant,
    ) -> Result<Vec<ConfigEntry>, ClusterError> {
        let what = match of {
            ResourceSpecifier::Topic(name) => format!("the settings of the topic {name} cannot be read"),
            ResourceSpecifier::Group(_) | ResourceSpecifier::Broker(_) => {
                "the settings of a broker cannot be read".into()
            }
        };
        let told = self.ask(&what, deadline, |options| self.client.describe_configs([of], options))?;
        match told.into_iter().next() {
            Some(Ok(resource)) => Ok(resource.entries),
            Some(Err(code)) => Err(code_failure(&what, code)),
            None => Err(ClusterError::Away(format!("{what}: no answer"))),
        }
    }

    /// Waits for an answer of the cluster.
    fn ask<T, F: Future<Output = Result<T, KafkaError>>>(
        &self,
        what: &str,
        deadline: Instant,
        question: impl FnOnce(&AdminOptions) -> F,
    ) -> Result<T, ClusterError> {
        let wait = left(deadline)?;
        let options = AdminOptions::new().request_timeout(Some(wait)).operation_timeout(Some(wait));
        // A little longer than the client itself waits: its answer says more than ours.
        match wait_until(question(&options), deadline + Duration::from_secs(1)) {
            Some(answer) => answer.map_err(|error| failure(what, &error)),
            None => Err(ClusterError::Away(format!("{what}: no answer"))),
        }
    }
}

/// Looks again at what is refused, until it has stayed so for [`FAULT_WAIT`]: a broker that has just come back may answer with
/// what it knew before.
pub(crate) fn until_believed<T>(look: impl Fn() -> Result<T, ClusterError>) -> Result<T, ClusterError> {
    let believed_at = Instant::now() + FAULT_WAIT;
    loop {
        match look() {
            Err(ClusterError::Refused(_)) if Instant::now() < believed_at => std::thread::sleep(LOOK_AGAIN),
            seen => return seen,
        }
    }
}

fn gone(topic: &str) -> ClusterError {
    ClusterError::Refused(format!(
        "the topic {topic} is gone: a log that lost a topic lost its history; bring it back, or copy the log from a node's copy to a new one"
    ))
}

/// What is wrong with how many replicas a topic has, and how many must be in sync.
fn replicas_fault(topic: &str, fewest: usize, most: usize, in_sync: usize) -> Option<String> {
    let wrong = |what: String| Some(format!("the topic {topic} has {what}"));
    if most >= 2 && in_sync < 2 {
        return wrong(format!(
            "{most} replicas and min.insync.replicas {in_sync}, so that what was acknowledged can be lost with one broker: set it to 2 with kafka-configs --alter"
        ));
    }
    if in_sync > fewest {
        return wrong(format!(
            "{fewest} replicas and min.insync.replicas {in_sync}, so that nothing can be written: reassign its partitions to more brokers"
        ));
    }
    None
}

/// The time until `deadline`.
///
/// # Errors
/// [`ClusterError::Away`] when there is none left.
fn left(deadline: Instant) -> Result<Duration, ClusterError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ClusterError::Away("it did not answer in time".into())) } else { Ok(left) }
}

/// A call failed: as it is, or for now?
fn failure(what: &str, error: &KafkaError) -> ClusterError {
    match error.rdkafka_error_code().or(admin_code(error)) {
        Some(code) => code_failure(what, code),
        None => ClusterError::Away(format!("{what}: {error}")),
    }
}

fn admin_code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = error { Some(*code) } else { None }
}

fn code_failure(what: &str, code: RDKafkaErrorCode) -> ClusterError {
    let sentence = format!("{what}: {code}");
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed
        | RDKafkaErrorCode::PolicyViolation
        | RDKafkaErrorCode::InvalidTopic
        | RDKafkaErrorCode::InvalidPartitions
        | RDKafkaErrorCode::InvalidConfig
        | RDKafkaErrorCode::InvalidRequest
        | RDKafkaErrorCode::UnsupportedVersion => ClusterError::Refused(sentence),
        _ => ClusterError::Away(sentence),
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, without any runtime; `None` when it is not done at `deadline`.
fn wait_until<T>(future: impl Future<Output = T>, deadline: Instant) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return Some(value),
            Poll::Pending => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                std::thread::park_timeout(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_as_it_must_be_is_said_with_topic_name_and_remedy() {
        let delete = TopicSetting::new("cleanup.policy", Wanted::Is("delete"));
        assert_eq!(delete.fault("t", Some("delete")), None);
        let fault = delete.fault("t", Some("compact,delete")).expect("a fault");
        assert!(
            ["topic t", "cleanup.policy", "compact,delete", "kafka-configs"]
                .iter()
                .all(|w| fault.contains(w))
        );
        let bytes = TopicSetting::new("max.message.bytes", Wanted::AtLeast(1000));
        assert_eq!((bytes.fault("t", Some("1000")), bytes.fault("t", None)), (None, None));
        assert!(bytes.fault("t", Some("999")).is_some());
        let lag = TopicSetting::new("max.compaction.lag.ms", Wanted::AtMost(10));
        assert_eq!(lag.fault("t", Some("10")), None);
        assert!(lag.fault("t", Some("11")).is_some() && lag.fault("t", None).is_some());
    }

    #[test]
    fn an_acknowledged_record_must_lie_on_two_replicas_where_there_are_several() {
        for (fewest, most, in_sync) in [(3, 3, 1), (2, 2, 1), (1, 3, 1), (1, 1, 2), (2, 2, 3)] {
            assert!(replicas_fault("t", fewest, most, in_sync).is_some(), "{fewest} {most} {in_sync}");
        }
        for (replicas, in_sync) in [(1, 1), (2, 2), (3, 2), (5, 3)] {
            assert_eq!(replicas_fault("t", replicas, replicas, in_sync), None);
        }
    }
}
