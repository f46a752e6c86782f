//! The same documents, however the streams interleave and wherever the batches end.

use std::{collections::BTreeMap, sync::Arc};

use projections::{DocumentKey, Projection};
use proptest::prelude::*;

use crate::{
    engines,
    generator::{interleaved, marketplace},
    memory::MemoryStore,
    story::{project, project_remembering},
};

type Documents = BTreeMap<DocumentKey, String>;

fn folded(
    projection: &Arc<dyn Projection>,
    events: &[events::RecordedEvent],
    batches: &[usize],
) -> Documents {
    folded_remembering(1024 * 1024, projection, events, batches)
}

fn folded_remembering(
    bytes_max: usize,
    projection: &Arc<dyn Projection>,
    events: &[events::RecordedEvent],
    batches: &[usize],
) -> Documents {
    let store = Arc::new(MemoryStore::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folding = project_remembering(bytes_max, Arc::clone(projection), store.clone(), events, batches);
    runtime.block_on(folding);
    store.documents.lock().unwrap().clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_projection_folds_to_the_same_documents_under_any_interleaving(
        seed in any::<u64>(),
        order in any::<u64>(),
        batches in proptest::collection::vec(1_usize..60, 1..5),
    ) {
        let events = marketplace(seed, 6);
        let shuffled = interleaved(&events, order);
        for projection in projections::all() {
            let expected = folded(&projection, &events, &[usize::MAX]);
            prop_assert_eq!(&folded(&projection, &events, &batches), &expected);
            prop_assert_eq!(&folded(&projection, &shuffled, &batches), &expected);
            prop_assert_eq!(&folded(&projection, &shuffled, &[1]), &expected);
            // What is remembered of a document, and what the store holds of it, are the same.
            prop_assert_eq!(&folded_remembering(0, &projection, &shuffled, &batches), &expected);
            prop_assert_eq!(&folded_remembering(20_000, &projection, &shuffled, &[1]), &expected);
        }
    }
}

#[test]
fn the_histories_reach_every_projection_and_every_kind_of_event() {
    let events: Vec<_> = (0..20).flat_map(|seed| marketplace(seed, 8)).collect();
    let names: std::collections::BTreeSet<_> = events.iter().map(|event| event.payload.name()).collect();
    assert!(names.len() >= 74, "{names:?}");
    for projection in projections::all() {
        let documents = folded(&projection, &marketplace(7, 12), &[usize::MAX]);
        assert!(!documents.is_empty(), "{}", projection.name());
    }
}

#[tokio::test]
async fn sqlite_holds_what_memory_holds() {
    for seed in 0..3 {
        assert_holds_what_memory_holds(seed, &engines::sqlite()).await;
    }
}

#[tokio::test]
#[ignore = "needs the stack"]
async fn mongodb_holds_what_memory_holds() {
    for seed in 0..3 {
        let fixture = engines::mongodb();
        assert_holds_what_memory_holds(seed, &fixture).await;
        fixture.clear().await;
    }
}

async fn assert_holds_what_memory_holds(seed: u64, fixture: &engines::Fixture) {
    let events = interleaved(&marketplace(seed, 10), seed + 1);
    for projection in projections::all() {
        let memory = Arc::new(MemoryStore::default());
        project(Arc::clone(&projection), memory.clone(), &events, &[usize::MAX]).await;
        project(Arc::clone(&projection), Arc::clone(&fixture.store), &events, &[1, 7, 30]).await;
        let expected = memory.documents.lock().unwrap().clone();
        let keys: Vec<DocumentKey> = expected.keys().cloned().collect();
        let found = fixture.store.get_many(&projection.id(), &keys).await.unwrap();
        let found = found.into_iter().map(|json| json.map(|json| json.text().to_owned()));
        assert!(found.eq(expected.into_values().map(Some)), "{}", projection.name());
    }
}
