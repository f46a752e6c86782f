//! A node's keys restored from an older backup: who the log knows to be erased is erased before anybody opens anything, and the
//! topic hears of it if it has not yet.

use std::{collections::BTreeSet, sync::Arc};

use events::{
    LogId,
    ids::AccountId,
    keys::{
        KeyRing,
        backup::{back_up_keys, copy_keys},
        simulated::{ExchangeFaults, SimulatedExchange},
    },
    personal::Opened,
};
use uuid::Uuid;

use super::support::{
    Node, eventually, files_contain, is_marked, keys_on, master, opens_as, seal, value, wrapped_keys,
};

/// A node, and another one that is restored from a backup of its keys, which the log knows to hold those of `gone`.
fn restored(
    exchange: &Arc<SimulatedExchange>,
    of: &Node,
    gone: AccountId,
    erased_on_the_topic: bool,
) -> Node {
    let vault = tempfile::tempdir().unwrap();
    back_up_keys(&of.path(), vault.path(), LogId(Uuid::now_v7())).unwrap();
    if erased_on_the_topic {
        of.open(exchange).erase(gone).unwrap();
    }
    let node = Node::new();
    copy_keys(vault.path(), &node.path()).unwrap();
    let copy = KeyRing::open_copy(&node.path(), &master()).unwrap();
    let nobody = AccountId::fresh();
    assert_eq!(copy.erase_in_copy(&BTreeSet::from([gone, nobody])), Ok(1), "one of them had keys");
    assert_eq!(copy.erase_in_copy(&BTreeSet::from([gone, nobody])), Ok(0));
    node
}

#[test]
fn a_node_that_is_restored_opens_nothing_of_who_was_erased_even_while_the_topic_is_away() {
    for erased_on_the_topic in [true, false] {
        let exchange = SimulatedExchange::new(1, ExchangeFaults::default());
        let (here, ama, kofi) = (Node::new(), AccountId::fresh(), AccountId::fresh());
        let keys = here.open(&exchange);
        let (hers, his) = (seal(&keys, ama, "Ama"), seal(&keys, kofi, "Kofi"));
        let wrapped = wrapped_keys(&keys);
        let (_, of_hers) = wrapped.iter().find(|(subject, _)| *subject == ama).unwrap();
        drop(keys);
        let node = restored(&exchange, &here, ama, erased_on_the_topic);
        assert!(!files_contain(node.folder.path(), of_hers));
        exchange.set_away(true);
        let keys = node.open(&exchange);
        assert_eq!((hers.open(&keys), his.open(&keys)), (Ok(Opened::Erased), Ok(value("Kofi"))));
        exchange.set_away(false);
        eventually("it comes back by itself", || keys.status().away.is_none());
        // By whomever it was erased, the topic has the marker in the end, and every node follows it.
        eventually("the topic has the marker", || is_marked(&exchange.records(), ama));
        opens_as(&hers, &here.open(&exchange), &Opened::Erased);
        keys.erase(ama).unwrap();
        exchange.compact(true);
        assert!(!keys_on(&exchange.records()).iter().any(|(subject, _)| *subject == ama));
        let late = Node::new();
        let late = late.open(&exchange);
        opens_as(&hers, &late, &Opened::Erased);
        opens_as(&his, &late, &value("Kofi"));
    }
}
