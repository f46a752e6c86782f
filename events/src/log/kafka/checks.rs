//! Whether the topics are still what they were: nothing deleted, nothing replaced, nothing shorter than a copy that read them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    identity::Identity,
    questions::Questions,
    records::Last,
    topics::{Topics, identity_plan},
};
use crate::{
    kafka::{Admin, Cluster, ClusterError},
    stream::{Offset, Partition},
};

/// Checks every topic of the log: partitions, replicas, settings.
///
/// # Errors
/// [`ClusterError::Refused`] for the first that is not as it must be; [`ClusterError::Away`].
pub(super) fn check_topics(
    cluster: &Cluster,
    admin: &Admin,
    topics: &Topics,
    commit_bytes_max: usize,
    deadline: Instant,
) -> Result<(), ClusterError> {
    admin.check(&identity_plan(&cluster.options().topic_prefix), deadline)?;
    topics.plans(commit_bytes_max).iter().try_for_each(|topic| admin.check(topic, deadline))
}

/// Checks that the last record that each partition gave still stands where it stood: a partition that was truncated may
/// have grown again.
///
/// # Errors
/// [`ClusterError::Refused`] when another stands there, or none; [`ClusterError::Away`].
pub(super) fn check_lasts(
    questions: &Questions,
    identity: &Identity,
    topics: &Topics,
    lasts: &BTreeMap<Partition, Last>,
    deadline: Instant,
) -> Result<(), ClusterError> {
    let places: Vec<(Partition, Offset)> =
        lasts.iter().map(|(partition, last)| (*partition, last.offset)).collect();
    if places.is_empty() {
        return Ok(());
    }
    let found = questions.records_at(topics, identity.log, &places, deadline)?;
    for (partition, last) in lasts {
        let Some(stands) = found.get(partition) else {
            return Err(ClusterError::Away(format!(
                "{} did not give its last record",
                topics.describe(*partition)
            )));
        };
        if stands.as_ref().map(|record| &record.body) != Some(&last.body) {
            return Err(ClusterError::Refused(format!(
                "{} does not hold at offset {} what was read there: it was truncated and written anew; copy the log from the copy to a new one",
                topics.describe(*partition),
                last.offset
            )));
        }
    }
    Ok(())
}

/// Checks that each partition begins at its beginning with a record of this log, and that it is no shorter than what was
/// judged.
///
/// # Errors
/// [`ClusterError::Refused`] when history was lost or is another's; [`ClusterError::Away`].
pub(super) fn check_history(
    questions: &Questions,
    identity: &Identity,
    topics: &Topics,
    judged: &[(Partition, Offset)],
    deadline: Instant,
) -> Result<(), ClusterError> {
    let starts: BTreeMap<Partition, Offset> =
        questions.starts(topics, left(deadline)).map_err(|error| away(&error))?.into_iter().collect();
    let ends: BTreeMap<Partition, Offset> =
        questions.ends(topics, left(deadline)).map_err(|error| away(&error))?.into_iter().collect();
    let mut filled = Vec::new();
    for partition in topics.partitions() {
        let (Some(start), Some(end)) = (starts.get(&partition), ends.get(&partition)) else {
            return Err(ClusterError::Away(format!("{} does not answer", topics.describe(partition))));
        };
        let judged = judged.iter().find(|(known, _)| *known == partition).map(|(_, offset)| *offset);
        if let Some(fault) = bounds_fault(&topics.describe(partition), *start, *end, judged) {
            return Err(ClusterError::Refused(fault));
        }
        if *end >= 0 {
            filled.push(partition);
        }
    }
    if filled.is_empty() {
        return Ok(());
    }
    let firsts = questions.first_logs(topics, &filled, deadline)?;
    let ours = identity.log.to_string();
    for partition in filled {
        let place = topics.describe(partition);
        match firsts.get(&partition) {
            Some(Some(named)) if *named == ours => {}
            Some(named) => {
                let named = named.as_deref().unwrap_or("none");
                return Err(ClusterError::Refused(format!(
                    "{place} begins with a record of log {named}, this is log {ours}: it was made anew or is shared with another log; use a prefix of its own"
                )));
            }
            None => return Err(ClusterError::Away(format!("{place} did not give its first record"))),
        }
    }
    Ok(())
}

/// What is wrong with where a partition begins and ends.
fn bounds_fault(place: &str, start: Offset, end: Offset, judged: Option<Offset>) -> Option<String> {
    if start > 0 {
        return Some(format!(
            "{place} begins at offset {start}: records before it were deleted; copy the log from a node's copy to a new one"
        ));
    }
    let judged = judged.filter(|judged| *judged > end)?;
    Some(format!(
        "{place} ends at offset {end}, the copy has judged up to {judged}: it was truncated or made anew and lost history; copy the log from the copy to a new one"
    ))
}

fn left(deadline: Instant) -> Duration {
    // Zero would mean not to wait at all, which is an answer too: none.
    deadline.saturating_duration_since(Instant::now())
}

fn away(error: &rdkafka::error::KafkaError) -> ClusterError {
    ClusterError::Away(format!("the ends of the partitions: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_lost_its_beginning_or_its_end_is_refused() {
        assert_eq!(bounds_fault("t", 0, -1, None), None);
        assert_eq!(bounds_fault("t", 0, -1, Some(-1)), None);
        assert_eq!(bounds_fault("t", 0, 7, Some(7)), None);
        assert!(bounds_fault("t", 3, 7, None).is_some_and(|fault| fault.contains("deleted")));
        assert!(bounds_fault("t", 0, 6, Some(7)).is_some_and(|fault| fault.contains("lost history")));
        assert!(bounds_fault("t", 0, -1, Some(0)).is_some());
    }
}
