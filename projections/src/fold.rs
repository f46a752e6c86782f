//! Folds a batch of events into a view, reading the store as seldom as possible.

use std::collections::BTreeSet;

use events::RecordedEvent;

use crate::{Applied, ApplyError, DocumentKey, Projection, ReadStore, StoreError, View};

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was folded in, or concerns others.
    Done(Applied),
    /// It cannot be applied, for this reason. The view is as if it had not been there.
    Failed(String),
    /// An event of its sequence failed before it (or the sequence was blocked already): it must wait behind.
    Behind,
}

/// Loads what `events` will ask for when they are applied in this order, with one read of the store for all of them
/// (one more for each document whose key stands in another document). The view's changes are dropped.
///
/// Afterwards every [`View::attempt`] finds what it needs, unless an event before it fails.
///
/// # Errors
/// What the store says.
pub async fn load_for(
    projection: &dyn Projection,
    store: &dyn ReadStore,
    events: &[&RecordedEvent],
    view: &mut View,
) -> Result<(), StoreError> {
    let id = projection.id();
    loop {
        let missing = missing_for(projection, events, view);
        view.discard();
        if missing.is_empty() {
            return Ok(());
        }
        let keys: Vec<DocumentKey> = missing.into_iter().collect();
        let found = store.get_many(&id, &keys).await?;
        for (key, value) in keys.into_iter().zip(found) {
            view.load(key, value);
        }
    }
}

/// The documents that are asked for in a dry run. An event that has to wait for one is passed over, so what comes
/// behind it may fail in ways that mean nothing: only what is missing counts.
fn missing_for(
    projection: &dyn Projection,
    events: &[&RecordedEvent],
    view: &mut View,
) -> BTreeSet<DocumentKey> {
    let attempts = events.iter().map(|event| view.attempt(projection, event));
    let missing = attempts.filter_map(|result| match result {
        Err(ApplyError::Missing(key)) => Some(key),
        Ok(_) | Err(ApplyError::Poison(_)) => None,
    });
    missing.collect()
}

/// Folds `events` in order into `view`, whose changes so far are dropped, and says what became of each. Sequences in
/// `blocked`, and those of events that fail, are passed over from there on.
///
/// # Errors
/// What the store says; nothing is to be written then.
pub async fn fold(
    projection: &dyn Projection,
    store: &dyn ReadStore,
    events: &[RecordedEvent],
    blocked: &BTreeSet<String>,
    view: &mut View,
) -> Result<Vec<Verdict>, StoreError> {
    let id = projection.id();
    loop {
        view.discard();
        let (verdicts, missing) = attempt_all(projection, events, blocked, view);
        if missing.is_empty() {
            return Ok(verdicts);
        }
        let keys: Vec<DocumentKey> = missing.into_iter().collect();
        let found = store.get_many(&id, &keys).await?;
        for (key, value) in keys.into_iter().zip(found) {
            view.load(key, value);
        }
    }
}

/// One pass. As long as documents are missing its verdicts mean nothing.
fn attempt_all(
    projection: &dyn Projection,
    events: &[RecordedEvent],
    blocked: &BTreeSet<String>,
    view: &mut View,
) -> (Vec<Verdict>, BTreeSet<DocumentKey>) {
    let (mut verdicts, mut missing) = (Vec::with_capacity(events.len()), BTreeSet::new());
    let mut failed = BTreeSet::new();
    for event in events {
        let nothing_waits = blocked.is_empty() && failed.is_empty();
        let key = if nothing_waits { None } else { Some(projection.sequence_key(event)) };
        if key.is_some_and(|key| blocked.contains(&key) || failed.contains(&key)) {
            verdicts.push(Verdict::Behind);
            continue;
        }
        verdicts.push(match view.attempt(projection, event) {
            Ok(applied) => Verdict::Done(applied),
            Err(ApplyError::Poison(reason)) => {
                // In a pass that lacks documents the failure may be a mere consequence: let the others ask too.
                if missing.is_empty() {
                    failed.insert(projection.sequence_key(event));
                }
                Verdict::Failed(reason)
            }
            Err(ApplyError::Missing(key)) => {
                missing.insert(key);
                Verdict::Behind
            }
        });
    }
    (verdicts, missing)
}
