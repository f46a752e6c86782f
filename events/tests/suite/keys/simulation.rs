//! Several nodes on an exchange that loses, delays, doubles and lies, crashing and starting again, by seed: what was sealed
//! and acknowledged opens everywhere or its person is erased everywhere, and no key of an erased person is left anywhere.

use std::{collections::HashSet, sync::Arc};

use events::{
    Personal,
    ids::{AccountId, Id},
    keys::{
        KeyError, KeyRing,
        simulated::{ExchangeFaults, SimulatedExchange},
    },
    personal::Opened,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use super::support::{Node, files_contain, keys_on, master, value, wrapped_keys};

const NODES: usize = 3;
const PEOPLE: usize = 6;
const STEPS: usize = 60;
const SEEDS: u64 = 48;
const THREADS: u64 = 4;

struct World {
    random: StdRng,
    exchange: Arc<SimulatedExchange>,
    nodes: Vec<(Node, Option<KeyRing>)>,
    people: Vec<AccountId>,
    sealed: Vec<Personal<String>>,
    /// Who was said to be erased, and who may be.
    erased: HashSet<AccountId>,
    perhaps: HashSet<AccountId>,
    seen: HashSet<[u8; 60]>,
    acknowledged: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let people = (0..PEOPLE).map(|_| AccountId::from_uuid(Uuid::from_u128(random.random()))).collect();
        Self {
            random,
            exchange: SimulatedExchange::new(seed, ExchangeFaults::wild()),
            nodes: (0..NODES).map(|_| (Node::new(), None)).collect(),
            people,
            sealed: Vec::new(),
            erased: HashSet::new(),
            perhaps: HashSet::new(),
            seen: HashSet::new(),
            acknowledged: 0,
        }
    }

    fn step(&mut self) {
        let node = self.random.random_range(0..NODES);
        let (home, ring) = &mut self.nodes[node];
        if ring.is_none() {
            match self.exchange.open_stepped(&home.path(), &master()) {
                Ok(opened) => *ring = Some(opened),
                Err(KeyError::Away(_)) => return,
                Err(error) => panic!("{error}"),
            }
        }
        let Some(keys) = ring else { return };
        let person = self.people[self.random.random_range(0..PEOPLE)];
        let crashes = match self.random.random_range(0..100) {
            0..45 => match Personal::seal(keys, person, &"words".to_owned()) {
                Ok(sealed) => {
                    assert_eq!(sealed.open(keys), Ok(value("words")));
                    self.sealed.push(sealed);
                    false
                }
                Err(KeyError::Erased) => {
                    assert!(self.perhaps.contains(&person));
                    false
                }
                Err(KeyError::Away(_)) => self.random.random_range(0..2) == 0,
                Err(error) => panic!("{error}"),
            },
            45..52 => {
                self.perhaps.insert(person);
                match keys.erase(person) {
                    Ok(()) => {
                        self.erased.insert(person);
                        self.acknowledged += 1;
                        false
                    }
                    Err(KeyError::Away(_)) => self.random.random_range(0..2) == 0,
                    Err(error) => panic!("{error}"),
                }
            }
            52..90 => {
                keys.step().unwrap();
                false
            }
            90..94 => {
                self.exchange.compact(self.random.random_range(0..2) == 0);
                false
            }
            _ => true,
        };
        self.seen.extend(keys_on(&self.exchange.records()).iter().map(|(_, wrapped)| wrapped.0));
        if crashes {
            self.nodes[node].1 = None;
        }
    }

    /// Calm comes back; everybody hears everything.
    fn settle(&mut self) {
        self.exchange.set_faults(ExchangeFaults::default());
        self.exchange.land();
        for (home, ring) in &mut self.nodes {
            *ring = None;
            *ring = Some(self.exchange.open_stepped(&home.path(), &master()).unwrap());
        }
        // What a reactor does: it repeats an erasure until it succeeds.
        let keys = self.nodes[0].1.as_ref().unwrap();
        for person in &self.perhaps {
            keys.erase(*person).unwrap();
        }
        for _ in 0..4 {
            self.nodes.iter().for_each(|(_, ring)| ring.as_ref().unwrap().step().unwrap());
        }
        self.exchange.compact(true);
        self.exchange.compact(true);
    }

    fn check(&self) {
        let records = self.exchange.records();
        let late = Node::new();
        let newcomer = self.exchange.open_stepped(&late.path(), &master()).unwrap();
        (0..3).for_each(|_| newcomer.step().unwrap());
        let rings = || self.nodes.iter().map(|(_, ring)| ring.as_ref().unwrap()).chain([&newcomer]);
        for (ring, sealed) in rings().flat_map(|ring| self.sealed.iter().map(move |sealed| (ring, sealed))) {
            let expected =
                if self.perhaps.contains(&sealed.subject()) { Opened::Erased } else { value("words") };
            assert_eq!(sealed.open(ring), Ok(expected));
        }
        assert!(keys_on(&records).iter().all(|(person, _)| !self.perhaps.contains(person)));
        let alive: HashSet<_> = keys_on(&records).iter().map(|(_, wrapped)| wrapped.0).collect();
        for ring in rings() {
            let here: HashSet<_> = wrapped_keys(ring).iter().map(|(_, wrapped)| wrapped.0).collect();
            assert_eq!(here, alive, "the file holds what the topic holds");
        }
        for gone in self.seen.difference(&alive) {
            for home in self.nodes.iter().map(|(home, _)| home).chain([&late]) {
                assert!(!files_contain(home.folder.path(), &events::keys::WrappedKey(*gone)));
            }
        }
    }
}

#[test]
fn what_was_sealed_opens_everywhere_or_its_person_is_erased_everywhere() {
    let counted: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let run = |first: u64| {
            (first..SEEDS).step_by(THREADS as usize).fold((0, 0), |counted, seed| {
                let mut world = World::new(seed);
                (0..STEPS).for_each(|_| world.step());
                let acknowledged = (world.sealed.len(), world.acknowledged);
                world.settle();
                world.check();
                (counted.0 + acknowledged.0, counted.1 + acknowledged.1)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || run(first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (sealed, erased) = counted.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(sealed > 300 && erased > 30, "it tried something: {sealed} sealed, {erased} erased");
}
