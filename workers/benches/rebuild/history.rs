//! A log full of jobs: posted, bid for, awarded, signed, worked on.

use std::sync::Arc;

use events::{
    Category, CommandStamp, CommitBuilder, DomainEvent, Money, Personal, StreamId, Timestamp,
    envelope::CommandHash,
    ids::{AccountId, BidId, CommandId, ContractId, JobId, KeyId},
    log::EventLog,
    personal::Sealed,
    vocabulary::jobs::{
        BidAccepted, BidRejected, BidRejection, BidRevised, BidSubmitted, BidTerms, Budget, ContractEvent,
        ContractProposed, ContractSigned, ContractTerms, JobClosed, JobClosure, JobCreated, JobEvent,
        JobPublished, JobStarted, JobTerms, MilestoneFunded, ProposedMilestone,
    },
};

const BIDS: usize = 6;
/// How many words the language of the descriptions has.
const WORDS: f64 = 30_000.0;

/// An event for the job's stream or for its contract's.
enum Told {
    Job(JobEvent),
    Contract(ContractEvent),
}

/// Writes the history of `jobs` jobs, one event a commit, those of `abreast` jobs in turns; how many events there were.
pub(crate) async fn write(log: &Arc<dyn EventLog>, jobs: usize, abreast: usize) -> usize {
    let mut written = 0;
    for first in (0..jobs).step_by(abreast) {
        let mut lives: Vec<_> = (first..jobs.min(first + abreast)).map(Life::new).collect();
        while !lives.is_empty() {
            let mut verdicts = Vec::new();
            for life in &mut lives {
                verdicts.push(tokio::spawn(log.append(life.next_commit())));
            }
            written += verdicts.len();
            for verdict in verdicts {
                verdict.await.unwrap().unwrap();
            }
            lives.retain(|life| life.told < life.story.len());
        }
    }
    written
}

/// The life of one job, told commit by commit.
pub(crate) struct Life {
    job: StreamId,
    contract: StreamId,
    story: Vec<Told>,
    told: usize,
    versions: [u64; 2],
}

impl Life {
    pub(crate) fn new(number: usize) -> Self {
        let (job, contract) = (JobId::fresh(), ContractId::fresh());
        let story = story(number, job, contract);
        let (job, contract) =
            (StreamId::new(Category::Job, job), StreamId::new(Category::Contract, contract));
        Self { job, contract, story, told: 0, versions: [0; 2] }
    }

    pub(crate) fn next_commit(&mut self) -> events::envelope::NewCommit {
        self.told += 1;
        match &self.story[self.told - 1] {
            Told::Job(event) => commit(self.job, &mut self.versions[0], event),
            Told::Contract(event) => commit(self.contract, &mut self.versions[1], event),
        }
    }
}

fn commit<E: DomainEvent>(stream: StreamId, version: &mut u64, event: &E) -> events::envelope::NewCommit {
    *version += 1;
    let mut builder = CommitBuilder::new(stream, *version);
    let stamp = CommandStamp {
        command_id: CommandId::fresh(),
        command_hash: CommandHash([7; 16]),
        correlation_id: "0190a3c2-1111-7222-8333-444455556666".into(),
        causation_id: None,
        actor: format!("account:{}", AccountId::fresh()),
        traceparent: None,
        time: Timestamp::now(),
    };
    builder.push(&stamp, std::slice::from_ref(event));
    builder.finish().unwrap()
}

fn ghs(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

fn story(number: usize, job: JobId, contract: ContractId) -> Vec<Told> {
    let client = AccountId::fresh();
    let later = Timestamp::now().plus_millis(86_400_000);
    let budget = Budget { min: ghs(10_000), max: ghs(90_000) };
    let terms = JobTerms {
        title: words(number, 6),
        description: words(number + 1, 60),
        category: "web-development".into(),
        skills: vec!["postgres".into(), "rust".into(), "web-design".into()],
        budget,
    };
    let mut told: Vec<JobEvent> =
        vec![JobCreated { client, terms: terms.clone() }.into(), JobPublished { expires_at: later }.into()];
    let bids: Vec<(BidId, AccountId)> = (0..BIDS).map(|_| (BidId::fresh(), AccountId::fresh())).collect();
    for (bid, worker) in &bids {
        told.push(BidSubmitted { bid: *bid, worker: *worker, terms: offer(*worker) }.into());
    }
    let (bid, worker) = bids[number % BIDS];
    told.push(BidRevised { bid, terms: offer(worker) }.into());
    let (title, price, milestones) = (terms.title, ghs(50_000), offer(worker).milestones);
    let agreed = ContractTerms { job, bid, client, worker, title, price, milestones };
    told.push(BidAccepted { bid, contract, terms: agreed.clone() }.into());
    let lost = bids.iter().filter(|(other, _)| *other != bid);
    told.extend(lost.map(|(bid, _)| BidRejected { bid: *bid, reason: BidRejection::AnotherAccepted }.into()));
    let mut story: Vec<Told> = told.into_iter().map(Told::Job).collect();
    let signed: [ContractEvent; 4] = [
        ContractProposed { terms: agreed, expires_at: later }.into(),
        ContractSigned { by: client, fully: false }.into(),
        ContractSigned { by: worker, fully: true }.into(),
        MilestoneFunded { milestone: 1 }.into(),
    ];
    story.extend(signed.map(Told::Contract));
    let ended: [JobEvent; 2] =
        [JobStarted { contract }.into(), JobClosed { closure: JobClosure::Completed }.into()];
    story.extend(ended.map(Told::Job));
    story
}

fn offer(worker: AccountId) -> BidTerms {
    let part = |title: &str| ProposedMilestone { title: title.into(), amount: ghs(25_000) };
    let sealed = Sealed { subject: worker, kid: KeyId::fresh(), sealed: "c2VhbGVk".repeat(40) };
    BidTerms {
        amount: ghs(50_000),
        milestones: vec![part("the first half"), part("the second half")],
        cover_letter: Personal::from_sealed(sealed),
    }
}

/// `count` words as a language has them: the n-th most frequent comes up in proportion to 1/n.
fn words(seed: usize, count: usize) -> String {
    let mut state = seed as u64 * 1_000_003 + 17;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 33) as f64 / f64::from(1_u32 << 31);
        format!("word{}", WORDS.powf(uniform) as u64)
    };
    (0..count).map(|_| word()).collect::<Vec<_>>().join(" ")
}
