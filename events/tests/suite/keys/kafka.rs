//! Keys on a real Kafka: several nodes, the broker's own files after an erasure, and topics that are refused.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use events::{
    LogId, Personal,
    ids::{AccountId, Id, JobId},
    keys::{KeyError, KeyRing, WrappedKey},
    log::{KafkaOptions, LogOptions},
    personal::Opened,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use uuid::Uuid;

use super::support::{Node, eventually, files_contain, is_away, master, opens_as, seal, value, wrapped_keys};

/// A log's keys on a cluster, under a prefix of their own.
struct Cluster {
    brokers: String,
    prefix: String,
    log: LogId,
}

impl Cluster {
    /// On the cluster that the tests were started with.
    fn shared() -> Self {
        Self::at(&std::env::var("GUILDHALL_STACK_KAFKA").expect(
            "GUILDHALL_STACK_KAFKA names no brokers: run this test as compose/stack run --only kafka -- cargo test …",
        ))
    }

    fn at(brokers: &str) -> Self {
        let prefix = format!("test-{}", JobId::fresh().uuid().simple());
        Self { brokers: brokers.to_owned(), prefix, log: LogId(Uuid::now_v7()) }
    }

    fn topic(&self) -> String {
        format!("{}.keys", self.prefix)
    }

    fn try_open(&self, node: &Node) -> Result<KeyRing, KeyError> {
        let kafka = KafkaOptions { topic_prefix: self.prefix.clone(), ..KafkaOptions::default() };
        let options = LogOptions { kafka, ..LogOptions::kafka(&self.brokers, node.folder.path()) };
        KeyRing::open_shared(&node.path(), &master(), self.log, &options)
    }

    fn open(&self, node: &Node) -> KeyRing {
        self.try_open(node).unwrap()
    }

    /// Makes the topic as an operator would, and not as a node would.
    fn make_topic(&self, partitions: i32, settings: &[(&str, &str)]) {
        let client: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        let name = self.topic();
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(client.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }
}

/// As a node makes it, with everything sooner.
const QUICK: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("max.compaction.lag.ms", "1000"),
    ("segment.ms", "1000"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "1000"),
    ("file.delete.delay.ms", "100"),
    ("message.timestamp.type", "LogAppendTime"),
    ("unclean.leader.election.enable", "false"),
];

#[test]
#[ignore = "needs the stack"]
fn rings_on_one_topic_of_kafka_hold_the_same_and_forget_the_same() {
    let (cluster, nodes) = (Cluster::shared(), [Node::new(), Node::new(), Node::new()]);
    // All three find no topic, and begin one.
    let rings: Vec<KeyRing> = std::thread::scope(|scope| {
        let opening: Vec<_> = nodes.iter().map(|node| scope.spawn(|| cluster.open(node))).collect();
        opening.into_iter().map(|ring| ring.join().unwrap()).collect()
    });
    let people: Vec<_> = std::iter::repeat_with(AccountId::fresh).take(30).collect();
    // First keys of the same people at all nodes at once.
    let sealed: Vec<Personal<String>> = std::thread::scope(|scope| {
        let seal_all = |ring| people.iter().map(|person| seal(ring, *person, "name")).collect::<Vec<_>>();
        let sealing: Vec<_> = rings.iter().map(|ring| scope.spawn(move || seal_all(ring))).collect();
        sealing.into_iter().flat_map(|sealed| sealed.join().unwrap()).collect()
    });
    for (ring, sealed) in rings.iter().flat_map(|ring| sealed.iter().map(move |sealed| (ring, sealed))) {
        opens_as(sealed, ring, &value("name"));
    }
    let wrapped = wrapped_keys(&rings[0]);
    let (gone, kept) = people.split_at(10);
    gone.iter().enumerate().for_each(|(index, person)| rings[index % 3].erase(*person).unwrap());
    let expected = |person| if gone.contains(&person) { Opened::Erased } else { value("name") };
    for (ring, sealed) in rings.iter().flat_map(|ring| sealed.iter().map(move |sealed| (ring, sealed))) {
        opens_as(sealed, ring, &expected(sealed.subject()));
    }
    for (node, (person, wrapped)) in nodes.iter().flat_map(|node| wrapped.iter().map(move |key| (node, key)))
    {
        let there = || files_contain(node.folder.path(), wrapped);
        eventually("only the keys of the erased are gone", || there() == kept.contains(person));
    }
    drop(rings);
    let again = cluster.open(&nodes[1]);
    let late = Node::new();
    let late = cluster.open(&late);
    late.catch_up(Duration::from_secs(60)).unwrap();
    for sealed in &sealed {
        assert_eq!(sealed.open(&again), Ok(expected(sealed.subject())));
        assert_eq!(sealed.open(&late), Ok(expected(sealed.subject())));
    }
    assert_eq!((again.status().stopped, late.status().stopped), (None, None));
}

/// Whether the broker holds the wrapped key in any file of the topic.
fn broker_holds(topic: &str, wrapped: &WrappedKey) -> bool {
    let state = std::env::var("GUILDHALL_STACK_STATE").expect("compose/stack run sets GUILDHALL_STACK_STATE");
    let text = BASE64URL_NOPAD.encode(&wrapped.0);
    let mut folders = vec![PathBuf::from(state)];
    let mut looked = 0;
    while let Some(folder) = folders.pop() {
        // The broker removes files while we look.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent().is_some_and(|parent| parent.ends_with(format!("{topic}-0"))) {
                looked += 1;
                let bytes = std::fs::read(&path).unwrap_or_default();
                let found = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
                if found(text.as_bytes()) || found(&wrapped.0) {
                    return true;
                }
            }
        }
    }
    assert!(looked > 0, "the broker's files of {topic} were found");
    false
}

#[test]
#[ignore = "needs the stack"]
fn what_was_erased_is_in_no_file_of_kafka_once_the_topic_was_compacted() {
    let (cluster, nodes) = (Cluster::shared(), [Node::new(), Node::new()]);
    cluster.make_topic(1, QUICK);
    let rings = [cluster.open(&nodes[0]), cluster.open(&nodes[1])];
    let (ama, kofi) = (AccountId::fresh(), AccountId::fresh());
    let (hers, his) = (seal(&rings[0], ama, "Ama"), seal(&rings[0], kofi, "Kofi"));
    opens_as(&hers, &rings[1], &value("Ama"));
    let wrapped = wrapped_keys(&rings[0]);
    let of = |person| wrapped.iter().find(|(subject, _)| *subject == person).unwrap().1;
    assert!(broker_holds(&cluster.topic(), &of(ama)), "the test looks where keys are");
    rings[1].erase(ama).unwrap();
    // Nobody writes anything more: the rings themselves see to it that the topic forgets.
    let since = Instant::now();
    eventually("the broker forgets", || !broker_holds(&cluster.topic(), &of(ama)));
    eprintln!("the broker's files were clean {:.1} s after the erasure", since.elapsed().as_secs_f64());
    assert!(broker_holds(&cluster.topic(), &of(kofi)), "only what was erased goes");
    let late = Node::new();
    let late = cluster.open(&late);
    opens_as(&hers, &late, &Opened::Erased);
    opens_as(&his, &late, &value("Kofi"));
}

#[test]
#[ignore = "needs the stack"]
fn a_topic_of_kafka_that_could_keep_or_lose_keys_is_refused_with_what_to_change() {
    let without = |name: &str| QUICK.iter().copied().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let with = |name, value| [without(name), vec![(name, value)]].concat();
    for (partitions, settings, told) in [
        (1, with("cleanup.policy", "compact,delete"), "cleanup.policy"),
        (1, without("max.compaction.lag.ms"), "max.compaction.lag.ms"),
        (1, with("segment.ms", "604800000"), "segment.ms"),
        (1, without("message.timestamp.type"), "message.timestamp.type"),
        (1, with("unclean.leader.election.enable", "true"), "unclean.leader.election.enable"),
        (2, QUICK.to_vec(), "partitions"),
    ] {
        let cluster = Cluster::shared();
        cluster.make_topic(partitions, &settings);
        match cluster.try_open(&Node::new()).map(drop) {
            Err(KeyError::Refused(sentence)) => {
                assert!(sentence.contains(told) && sentence.contains(&cluster.topic()), "{sentence}");
            }
            other => panic!("{told}: {other:?}"),
        }
    }
}

fn stack(arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/stack");
    let output = Command::new(script).args(arguments).output().unwrap();
    let (told, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "compose/stack {arguments:?}: {failed}");
    told.into_owned()
}

#[test]
#[ignore = "needs the stack"]
fn a_foreign_record_on_kafka_stops_the_rings_and_the_tombstone_that_kcat_writes_lets_them_go_on() {
    let (cluster, nodes) = (Cluster::shared(), [Node::new(), Node::new()]);
    let rings = [cluster.open(&nodes[0]), cluster.open(&nodes[1])];
    let (topic, mut line) = (cluster.topic(), tempfile::NamedTempFile::new().unwrap());
    let key = "made by somebody";
    write!(line, "not ours").unwrap();
    let path = line.path().display().to_string();
    stack(&["tool", "kcat", "-q", "-P", "-t", &topic, "-p", "0", "-k", key, &path]);
    for ring in &rings {
        eventually("it stops", || ring.status().stopped.is_some_and(|reason| reason.contains(key)));
    }
    assert!(is_away(&Personal::seal(&rings[0], AccountId::fresh(), &1)));
    let mut line = tempfile::NamedTempFile::new().unwrap();
    writeln!(line, "{key}|").unwrap();
    let path = line.path().display().to_string();
    stack(&["tool", "kcat", "-q", "-P", "-Z", "-K", "|", "-t", &topic, "-p", "0", "-l", &path]);
    for ring in &rings {
        eventually("it goes on", || ring.status().stopped.is_none());
    }
    let name = seal(&rings[0], AccountId::fresh(), "Ama");
    opens_as(&name, &rings[1], &value("Ama"));
}

/// A broker that no other test uses, so that it can be taken away.
struct OwnBroker {
    name: String,
    brokers: String,
}

impl OwnBroker {
    fn start() -> Self {
        let name = format!("keys-{}", Uuid::now_v7().simple());
        stack(&["up", "--only", "kafka", "--name", &name]);
        let mut own = Self { brokers: String::new(), name };
        let told = stack(&["env", "--name", &own.name]);
        let brokers = told.lines().find_map(|line| line.split_once("GUILDHALL_STACK_KAFKA="));
        own.brokers = brokers.expect("the stack names its brokers").1.trim_matches(['\'', '"']).to_owned();
        own
    }

    fn fault(&self, what: &str) {
        stack(&[what, "kafka-1", "--name", &self.name]);
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        stack(&["down", "--name", &self.name]);
    }
}

#[test]
#[ignore = "needs the stack"]
fn while_kafka_is_frozen_or_dead_first_keys_are_refused_in_time_and_all_comes_back_by_itself() {
    let broker = OwnBroker::start();
    let (cluster, nodes) = (Cluster::at(&broker.brokers), [Node::new(), Node::new()]);
    let mut rings = vec![cluster.open(&nodes[0]), cluster.open(&nodes[1])];
    let name = seal(&rings[0], AccountId::fresh(), "Ama");
    opens_as(&name, &rings[1], &value("Ama"));
    for (fault, mend) in [("pause", "resume"), ("kill", "start")] {
        broker.fault(fault);
        let person = AccountId::fresh();
        for ring in &rings {
            let since = Instant::now();
            assert!(is_away(&Personal::seal(ring, person, &"new".to_owned())), "{fault}");
            assert!(is_away(&ring.erase(person)), "{fault}");
            assert!(since.elapsed() < Duration::from_secs(30), "{fault}: in bounded time");
            eventually("the status says so", || ring.status().away.is_some());
            assert_eq!(name.open(ring), Ok(value("Ama")));
        }
        rings.pop();
        rings.push(cluster.open(&nodes[1]));
        assert_eq!(name.open(&rings[1]), Ok(value("Ama")), "a node starts while Kafka is away");
        broker.fault(mend);
        let since = Instant::now();
        for ring in &rings {
            eventually("it comes back", || {
                let status = ring.status();
                if since.elapsed() > Duration::from_secs(50) {
                    eprintln!("{mend}: {status:?}");
                    std::thread::sleep(Duration::from_secs(2));
                }
                status.away.is_none()
            });
        }
        eprintln!("after {mend} both rings were back in {:.1} s", since.elapsed().as_secs_f64());
        let later = seal(&rings[1], AccountId::fresh(), "later");
        opens_as(&later, &rings[0], &value("later"));
        // Whatever became of the erasure that was in doubt, repeating it settles it.
        rings[0].erase(person).unwrap();
        eventually("both forget", || Personal::seal(&rings[1], person, &1) == Err(KeyError::Erased));
    }
}
