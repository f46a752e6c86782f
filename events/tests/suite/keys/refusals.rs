//! A topic or a file that is not what it must be is refused with what to do, and one foreign record halts nobody for ever.

use std::sync::Arc;

use events::{
    Personal,
    ids::{AccountId, KeyId},
    keys::{
        KeyError, KeyPurpose, KeyRecord, KeyRing, MasterKey,
        simulated::{ExchangeFaults, SimulatedExchange},
    },
};

use super::support::{Node, eventually, is_away, master, opens_as, seal, take_over, value, wrapped_keys};

fn exchange() -> Arc<SimulatedExchange> {
    SimulatedExchange::new(2, ExchangeFaults::default())
}

fn refusal(result: Result<KeyRing, KeyError>) -> String {
    match result.map(drop) {
        Err(KeyError::Refused(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

fn json(record: &KeyRecord) -> Vec<u8> {
    serde_json::to_vec(record).unwrap()
}

#[test]
fn a_record_that_cannot_be_taken_stops_all_nodes_until_a_tombstone_ends_it() {
    let (exchange, nodes) = (exchange(), [Node::new(), Node::new()]);
    let (ama, kofi) = (AccountId::fresh(), AccountId::fresh());
    let rings = [nodes[0].open(&exchange), nodes[1].open(&exchange)];
    let name = seal(&rings[0], ama, "Ama");
    opens_as(&name, &rings[1], &value("Ama"));
    let (_, wrapped) = wrapped_keys(&rings[0])[0];
    let kid = KeyId::fresh();
    let foreign = KeyRecord::Key { subject: kofi, purpose: KeyPurpose::PersonalData, kid, wrapped };
    let key = format!("{kofi}/{kid}");
    let place = exchange.inject(&key, Some(&json(&foreign)));
    for ring in &rings {
        eventually("it stops", || ring.status().stopped.is_some());
        let reason = ring.status().stopped.unwrap();
        let offset = place.to_string();
        let told = [offset.as_str(), key.as_str(), "master key", "tombstone"];
        assert!(told.iter().all(|word| reason.contains(word)), "{reason}");
        assert_eq!(name.open(ring), Ok(value("Ama")), "what is here goes on");
        assert!(is_away(&Personal::seal(ring, AccountId::fresh(), &1)));
        assert!(is_away(&ring.erase(ama)));
    }
    exchange.inject(&key, None);
    for ring in &rings {
        eventually("it goes on by itself", || ring.status().stopped.is_none());
    }
    let later = seal(&rings[0], kofi, "Kofi");
    opens_as(&later, &rings[1], &value("Kofi"));
    let late = Node::new();
    opens_as(&later, &late.open(&exchange), &value("Kofi"));
}

#[test]
fn a_record_that_contradicts_another_or_its_own_key_or_is_no_record_stops_the_ring() {
    let (ama, node, exchange) = (AccountId::fresh(), Node::new(), exchange());
    let keys = node.open(&exchange);
    seal(&keys, ama, "Ama");
    let KeyRecord::Key { kid, .. } = keys.records_after(0, 1).unwrap()[0].record else { panic!("a key") };
    let other = Node::new();
    let other = KeyRing::open(&other.path(), &master()).unwrap();
    seal(&other, ama, "Ama");
    let record = other.records_after(0, 1).unwrap()[0].record.clone();
    let own_key = match &record {
        KeyRecord::Key { subject, kid, .. } => format!("{subject}/{kid}"),
        KeyRecord::Erased { .. } => panic!("a key"),
    };
    let wrong = format!("{ama}/{kid}");
    for (key, value) in [(&wrong, json(&record)), (&own_key, b"{}".to_vec()), (&wrong, b"\xff".to_vec())] {
        exchange.inject(key, Some(&value));
        eventually("it stops", || keys.status().stopped.is_some());
        exchange.inject(key, None);
        eventually("it goes on", || keys.status().stopped.is_none());
    }
}

#[test]
fn a_node_with_another_master_key_is_refused_before_it_writes_anything() {
    let (exchange, node) = (exchange(), Node::new());
    seal(&node.open(&exchange), AccountId::fresh(), "Ama");
    let (records, other) = (exchange.records(), MasterKey::from_hex(&"0123456789abcdef".repeat(4)).unwrap());
    let stranger = Node::new();
    let refused = exchange.open(&stranger.path(), &other).map(drop);
    assert_eq!(refused, Err(KeyError::WrongMasterKey));
    assert_eq!(exchange.records(), records);
}

#[test]
fn a_topic_that_was_made_anew_or_lost_records_or_belongs_to_another_log_is_refused() {
    let (before, node, ama) = (exchange(), Node::new(), AccountId::fresh());
    let name = seal(&node.open(&before), ama, "Ama");
    let anew = exchange();
    let sentence = refusal(anew.open(&node.path(), &master()));
    assert!(sentence.contains("gone"), "{sentence}");
    let first = Node::new();
    let fresh = first.open(&anew);
    let sentence = refusal(anew.open(&node.path(), &master()));
    assert!(sentence.contains("made anew") && sentence.contains("docs/kafka.md"), "{sentence}");
    let foreign = SimulatedExchange::new(3, ExchangeFaults::default());
    let sentence = refusal(foreign.open(&node.path(), &master()));
    assert!(sentence.contains("belongs to the log"), "{sentence}");
    before.truncate(1);
    let sentence = refusal(before.open(&node.path(), &master()));
    assert!(sentence.contains("lost records") && sentence.contains("docs/kafka.md"), "{sentence}");
    // What the sentences say to do.
    let old = KeyRing::open_copy(&node.path(), &master()).unwrap();
    assert_eq!(take_over(&old, &fresh), 1);
    assert_eq!(name.open(&fresh), Ok(value("Ama")));
}

#[test]
fn records_lost_under_a_running_ring_stop_it() {
    let (exchange, node) = (exchange(), Node::new());
    let keys = node.open(&exchange);
    seal(&keys, AccountId::fresh(), "Ama");
    exchange.truncate(1);
    eventually("it stops", || keys.status().stopped.is_some_and(|reason| reason.contains("lost records")));
}

#[test]
fn a_file_of_one_kind_of_life_is_not_opened_for_the_other() {
    let (exchange, alone, node) = (exchange(), Node::new(), Node::new());
    seal(&KeyRing::open(&alone.path(), &master()).unwrap(), AccountId::fresh(), "Ama");
    let sentence = refusal(exchange.open(&alone.path(), &master()));
    assert!(sentence.contains("log copy"), "{sentence}");
    drop(node.open(&exchange));
    let sentence = refusal(KeyRing::open(&node.path(), &master()));
    assert!(sentence.contains("follows a topic"), "{sentence}");
    drop(KeyRing::open(&alone.path(), &master()).expect("it stayed as it was"));
}
