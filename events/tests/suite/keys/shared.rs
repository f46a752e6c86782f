//! What is made at one node opens at all, what is erased at one node is gone from all, and nothing is used before it is safe.

use std::{sync::Arc, time::Duration};

use events::{
    Personal,
    ids::AccountId,
    keys::{
        KeyError, KeyRing,
        simulated::{ExchangeFaults, SimulatedExchange},
    },
    personal::Opened,
};

use super::support::{
    LONG, Node, eventually, files_contain, is_away, is_marked, keys_on, master, opens_as, seal, take_over,
    value, wrapped_keys,
};

fn exchange() -> Arc<SimulatedExchange> {
    SimulatedExchange::new(1, ExchangeFaults::default())
}

#[tokio::test]
async fn what_one_node_sealed_opens_at_the_others_and_at_one_that_comes_later() {
    let (exchange, nodes, ama) = (exchange(), [Node::new(), Node::new(), Node::new()], AccountId::fresh());
    let (here, there) = (nodes[0].open(&exchange), nodes[1].open(&exchange));
    let name = seal(&here, ama, "Ama");
    assert_eq!(name.open_waiting(&there, LONG).await, Ok(value("Ama")));
    let again = seal(&there, ama, "Ama again");
    assert_eq!(again.sealed().kid, name.sealed().kid, "one key is enough for both");
    let late = nodes[2].open(&exchange);
    assert_eq!(name.open_waiting(&late, LONG).await, Ok(value("Ama")));
    assert_eq!(again.open_waiting(&late, LONG).await, Ok(value("Ama again")));
}

#[test]
fn a_first_key_is_on_the_topic_and_in_the_file_before_a_value_sealed_with_it_is_seen() {
    let (exchange, node) = (exchange(), Node::new());
    let keys = node.open(&exchange);
    for _ in 0..20 {
        let ama = AccountId::fresh();
        seal(&keys, ama, "Ama");
        let on_topic = keys_on(&exchange.records());
        assert!(on_topic.iter().any(|(subject, _)| *subject == ama));
        assert_eq!(on_topic, wrapped_keys(&keys), "the file follows the topic");
    }
}

#[test]
fn first_keys_asked_for_at_once_are_one_key() {
    let (exchange, node, ama) = (exchange(), Node::new(), AccountId::fresh());
    let keys = node.open(&exchange);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(seal(&keys, ama, "Ama").open(&keys), Ok(value("Ama"))));
        }
    });
    assert_eq!(keys_on(&exchange.records()).len(), 1);
}

#[test]
fn two_nodes_that_make_a_first_key_at_once_both_stay_valid() {
    let exchange = exchange();
    let nodes = [Node::new(), Node::new()];
    let [here, there] = [0, 1].map(|n| exchange.open_stepped(&nodes[n].path(), &master()).unwrap());
    [&here, &there].iter().for_each(|keys| keys.step().unwrap());
    let ama = AccountId::fresh();
    // Neither has heard of the other's.
    let (first, second) = (seal(&here, ama, "here"), seal(&there, ama, "there"));
    for keys in [&here, &there] {
        (0..3).for_each(|_| keys.step().unwrap());
        assert_eq!((first.open(keys), second.open(keys)), (Ok(value("here")), Ok(value("there"))));
    }
    exchange.compact(true);
    let late = Node::new();
    let late = exchange.open_stepped(&late.path(), &master()).unwrap();
    (0..3).for_each(|_| late.step().unwrap());
    assert_eq!((first.open(&late), second.open(&late)), (Ok(value("here")), Ok(value("there"))));
}

#[test]
fn while_the_exchange_is_away_first_keys_and_erasures_are_refused_and_the_rest_goes_on() {
    let (exchange, node, ama, kofi) = (exchange(), Node::new(), AccountId::fresh(), AccountId::fresh());
    let keys = node.open(&exchange);
    let name = seal(&keys, ama, "Ama");
    exchange.set_away(true);
    let refused = Personal::seal(&keys, kofi, &"Kofi".to_owned());
    assert!(is_away(&refused), "{refused:?}");
    assert!(is_away(&keys.erase(ama)));
    eventually("the status says so", || keys.status().away.is_some());
    assert_eq!(name.open(&keys), Ok(value("Ama")));
    assert_eq!(seal(&keys, ama, "again").open(&keys), Ok(value("again")));
    drop(keys);
    let keys = node.open(&exchange);
    assert_eq!(name.open(&keys), Ok(value("Ama")), "it also starts while the exchange is away");
    let fresh = exchange.open(&Node::new().path(), &master()).map(drop);
    assert!(fresh.is_err(), "a file that follows nothing yet does not: {fresh:?}");
    exchange.set_away(false);
    eventually("it comes back by itself", || keys.status().away.is_none());
    let later = seal(&keys, kofi, "Kofi");
    assert_eq!(later.open(&keys), Ok(value("Kofi")));
}

#[test]
fn what_is_erased_at_one_node_is_in_no_file_and_after_compaction_not_on_the_topic() {
    let (exchange, nodes) = (exchange(), [Node::new(), Node::new(), Node::new()]);
    let rings: Vec<KeyRing> = nodes.iter().map(|node| node.open(&exchange)).collect();
    let people: Vec<_> = std::iter::repeat_with(AccountId::fresh).take(40).collect();
    let names: Vec<_> = people.iter().map(|person| seal(&rings[0], *person, "name")).collect();
    for (ring, name) in rings.iter().flat_map(|ring| names.iter().map(move |name| (ring, name))) {
        opens_as(name, ring, &value("name"));
    }
    let (gone, kept) = people.split_at(20);
    let wrapped = wrapped_keys(&rings[0]);
    for (index, person) in gone.iter().enumerate() {
        rings[index % 3].erase(*person).unwrap();
    }
    for ring in &rings {
        names[..20].iter().for_each(|name| opens_as(name, ring, &Opened::Erased));
        names[20..].iter().for_each(|name| opens_as(name, ring, &value("name")));
        assert_eq!(Personal::seal(ring, gone[0], &1), Err(KeyError::Erased));
    }
    for node in &nodes {
        for (person, wrapped) in &wrapped {
            let there = || files_contain(node.folder.path(), wrapped);
            eventually("only the keys of the erased are gone", || there() == kept.contains(person));
        }
    }
    exchange.compact(true);
    let records = exchange.records();
    assert!(gone.iter().all(|person| is_marked(&records, *person)), "the markers stay for ever");
    assert!(keys_on(&records).iter().all(|(person, _)| kept.contains(person)));
    assert_eq!(keys_on(&records).len(), kept.len());
    let late = Node::new();
    let late = late.open(&exchange);
    names[..20].iter().for_each(|name| opens_as(name, &late, &Opened::Erased));
    names[20..].iter().for_each(|name| opens_as(name, &late, &value("name")));
}

#[test]
fn a_key_that_arrives_behind_its_subjects_erasure_is_not_kept_and_gets_a_tombstone() {
    let exchange = exchange();
    let nodes = [Node::new(), Node::new()];
    let [here, there] = [0, 1].map(|n| exchange.open_stepped(&nodes[n].path(), &master()).unwrap());
    let ama = AccountId::fresh();
    [&here, &there].iter().for_each(|keys| keys.step().unwrap());
    exchange.set_faults(ExchangeFaults { delayed: 1000, ..ExchangeFaults::default() });
    assert!(is_away(&Personal::seal(&there, ama, &"Ama".to_owned())), "it is on its way, and in doubt");
    exchange.set_faults(ExchangeFaults::default());
    // Whatever arrived meanwhile, once more behind the marker.
    here.erase(ama).unwrap();
    exchange.land();
    for keys in [&here, &there, &here, &there] {
        (0..3).for_each(|_| keys.step().unwrap());
        assert!(wrapped_keys(keys).is_empty());
    }
    let before = keys_on(&exchange.records());
    assert!(!before.is_empty(), "the late key came");
    exchange.compact(true);
    assert!(keys_on(&exchange.records()).is_empty());
    for (node, (_, wrapped)) in nodes.iter().zip(before.iter().cycle()) {
        assert!(!files_contain(node.folder.path(), wrapped));
    }
}

#[test]
fn an_erasure_whose_node_dies_behind_the_marker_is_finished_by_the_others() {
    let (exchange, nodes, ama) = (exchange(), [Node::new(), Node::new()], AccountId::fresh());
    let [here, there] = [0, 1].map(|n| exchange.open_stepped(&nodes[n].path(), &master()).unwrap());
    let name = seal(&here, ama, "Ama");
    (0..3).for_each(|_| there.step().unwrap());
    drop(here);
    let marker = serde_json::to_vec(&events::keys::KeyRecord::Erased { subject: ama }).unwrap();
    exchange.inject(&ama.to_string(), Some(&marker));
    (0..4).for_each(|_| there.step().unwrap());
    assert_eq!(name.open(&there), Ok(Opened::Erased));
    exchange.compact(true);
    assert!(keys_on(&exchange.records()).is_empty());
    let here = nodes[0].open(&exchange);
    opens_as(&name, &here, &Opened::Erased);
    here.erase(ama).unwrap();
}

#[test]
fn a_topic_in_which_nothing_newer_comes_gets_a_beat_so_that_it_can_forget() {
    let exchange =
        SimulatedExchange::forgetting_after(1, ExchangeFaults::default(), Duration::from_millis(50));
    let (node, ama) = (Node::new(), AccountId::fresh());
    let keys = node.open(&exchange);
    seal(&keys, ama, "Ama");
    let beats = || exchange.records().iter().filter(|record| record.key == "beat").count();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(beats(), 0, "nothing is to be forgotten");
    keys.erase(ama).unwrap();
    eventually("a beat", || beats() > 0);
    let many = beats();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(beats(), many, "one is enough");
}

#[test]
fn a_ring_takes_over_what_a_machine_of_its_own_held_and_can_be_taken_over_again() {
    let (exchange, alone, node, back) = (exchange(), Node::new(), Node::new(), Node::new());
    let (ama, kofi) = (AccountId::fresh(), AccountId::fresh());
    let embedded = KeyRing::open(&alone.path(), &master()).unwrap();
    let (hers, his) = (seal(&embedded, ama, "Ama"), seal(&embedded, kofi, "Kofi"));
    embedded.erase(kofi).unwrap();
    let shared = node.open(&exchange);
    assert_eq!((take_over(&embedded, &shared), take_over(&embedded, &shared)), (2, 0));
    assert_eq!((hers.open(&shared), his.open(&shared)), (Ok(value("Ama")), Ok(Opened::Erased)));
    let other = Node::new();
    let other = other.open(&exchange);
    opens_as(&hers, &other, &value("Ama"));
    opens_as(&his, &other, &Opened::Erased);
    let own = KeyRing::open(&back.path(), &master()).unwrap();
    assert_eq!(take_over(&other, &own), 2);
    assert_eq!((hers.open(&own), his.open(&own)), (Ok(value("Ama")), Ok(Opened::Erased)));
}
