//! What is true: an independent fold of the upstream, by the rule alone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    SimulatedBroker,
    rules::{Claimed, Found, Operation, find},
};
use crate::{
    ids::{CommandId, CommitId},
    stream::{Offset, Partition, StreamId, Version},
};

/// A record that the rule makes part of history.
pub(super) type ValidRecord = (Offset, Arc<[u8]>);

#[derive(Default)]
pub(super) struct Oracle {
    read: HashMap<Partition, usize>,
    streams: HashMap<StreamId, Vec<Claimed>>,
    /// Where each command was applied.
    applied: HashMap<CommandId, (Partition, Offset, Version)>,
    /// Everything that arrived, valid or not.
    arrived: HashSet<CommitId>,
    valid: HashMap<Partition, Vec<ValidRecord>>,
    pub(super) voids: usize,
}

impl Oracle {
    /// Reads what is new on the upstream.
    pub(super) fn follow(&mut self, broker: &SimulatedBroker) -> Result<(), String> {
        let state = broker.lock();
        for (partition, topic) in &state.topics {
            let read = self.read.entry(*partition).or_default();
            let new = topic[*read..].to_vec();
            *read = topic.len();
            for record in new {
                self.judge(*partition, record.offset, &record.record.body)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, partition: Partition, offset: Offset, body: &Arc<[u8]>) -> Result<(), String> {
        let Some(Found { id, stream, first_version, commands }) = find(body) else {
            return Err("somebody published what is no commit".into());
        };
        self.arrived.insert(id);
        let states = self.streams.entry(stream).or_insert_with(|| vec![Claimed::default()]);
        if first_version > states.len() as Version {
            return Err(format!("a gap in a stream before version {first_version}"));
        }
        if first_version < states.len() as Version {
            self.voids += 1;
            return Ok(());
        }
        for (command, operation) in commands {
            let state = states.last().copied().unwrap_or_default();
            if state.rejects(operation) {
                return Err("an event that the state of its stream forbids became valid".into());
            }
            let version = states.len() as Version;
            states.push(state.after(operation));
            if self.applied.insert(command, (partition, offset, version)).is_some() {
                return Err("a command was applied twice".into());
            }
        }
        self.valid.entry(partition).or_default().push((offset, Arc::clone(body)));
        Ok(())
    }

    /// Whether a commit arrived at the broker, which says nothing of its verdict.
    pub(super) fn has_arrived(&self, commit: CommitId) -> bool {
        self.arrived.contains(&commit)
    }

    /// Where a command was applied.
    pub(super) fn applied(&self, command: CommandId) -> Option<(Partition, Offset, Version)> {
        self.applied.get(&command).copied()
    }

    /// Whether the stream, at some version from `floor` on, was in a state that rejects the operation.
    pub(super) fn justifies(&self, stream: StreamId, floor: Version, operation: Operation) -> bool {
        let Some(states) = self.streams.get(&stream) else { return Claimed::default().rejects(operation) };
        states.iter().skip(usize::try_from(floor).unwrap_or(usize::MAX)).any(|state| state.rejects(operation))
    }

    /// The valid records of a partition.
    pub(super) fn partition(&self, partition: Partition) -> &[ValidRecord] {
        self.valid.get(&partition).map_or(&[], Vec::as_slice)
    }
}
