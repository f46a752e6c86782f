//! With a file for the books, what was acknowledged survives `kill -9`, and a torn end harms nobody.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use sandbox::{JournalError, Sandbox, Settings, StartError};

use crate::harness::{API_KEY, Client, House, Inbox, SECRET, charge, settings};

struct Process {
    child: Child,
    client: Client,
}

impl Process {
    fn start(books: &Path, inbox: &Inbox) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandbox"))
            .args(["--listen", "127.0.0.1:0", "--answer-delay-ms", "1", "--books"])
            .arg(books)
            .env("SANDBOX_API_KEY", API_KEY)
            .env("SANDBOX_WEBHOOK_URL", inbox.url())
            .env("SANDBOX_WEBHOOK_SECRETS", SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().parse().unwrap();
        Self { child, client: Client::new(address, API_KEY) }
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    /// A test that fails leaves nothing running, either.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn given_a_sandbox_under_load_when_it_is_killed_then_what_it_acknowledged_is_there_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let inbox = Inbox::open().await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let process = Process::start(&books, &inbox);
        let mut senders = tokio::task::JoinSet::new();
        for number in 0..20 {
            let (client, reference) = (process.client.clone(), format!("order-{round}-{number}"));
            senders.spawn(async move {
                let order = charge(&reference, 100, "pm_card").to_string();
                let reply = client.send(http::Method::POST, "/v1/charges", &order).await.ok()?;
                (reply.status == 201).then(|| (reference, reply.body["id"].clone()))
            });
        }
        // Some are under way when it dies: those may be there or not.
        for _ in 0..10 {
            acknowledged.extend(senders.join_next().await.unwrap().unwrap());
        }
        process.kill();
        acknowledged.extend(senders.join_all().await.into_iter().flatten());
    }
    assert!(acknowledged.len() >= 50);
    let process = Process::start(&books, &inbox);
    for (reference, id) in &acknowledged {
        let charge = process.client.get(&format!("/v1/charges/by-reference/{reference}")).await.expect(200);
        assert_eq!(charge["id"], *id);
    }
    let told = async || {
        let letters = inbox.letters();
        let told: BTreeSet<_> = letters.iter().map(|letter| letter.body["data"]["id"].as_str()).collect();
        acknowledged.iter().all(|(_, id)| told.contains(&id.as_str())).then_some(())
    };
    crate::harness::eventually("every acknowledged charge is told", told).await;
    let balances = process.client.get("/v1/balances").await.expect(200);
    assert_eq!(balances["currencies"][0]["sum"], "0");
    process.kill();
}

fn on(books: &Path) -> Settings {
    Settings { books: Some(books.to_owned()), ..settings() }
}

#[tokio::test]
async fn given_books_in_a_file_when_they_are_opened_again_then_all_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let house = House::with(on(&books)).await;
    let charge = house.charged("order-1", 1000).await;
    house.refund("refund-1", &charge, 100).await.expect(201);
    house.payout("payout-1", 300, "ba_returned").await.expect(201);
    house.charge("order-2", 70, "pm_requires_action").await.expect(201);
    house.settle().await;
    let paths = ["/v1/charges", "/v1/refunds", "/v1/payouts", "/v1/entries"];
    let mut before = Vec::new();
    for path in paths {
        before.push(house.client.get(path).await.expect(200));
    }
    let balances = house.client.get("/v1/balances").await.expect(200)["currencies"].clone();
    let letters = house.inbox.wait_for(3).await;
    house.sandbox.stop().await;
    let house = House::with(on(&books)).await;
    for letter in letters {
        let event = house.client.get(&format!("/v1/events/{}", letter.id())).await.expect(200);
        assert_eq!(event["body"], letter.body);
    }
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(house.client.get(path).await.expect(200), before);
    }
    assert_eq!(house.client.get("/v1/balances").await.expect(200)["currencies"], balances);
    // The clock goes on from where it was, and so does what waits.
    house.advance(4 * 24 * 3600 * 1000).await;
    assert_eq!(house.status("/v1/payouts/by-reference/payout-1").await, "returned");
}

#[tokio::test]
async fn given_a_torn_end_when_the_books_are_opened_then_it_is_cut_off_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let house = House::with(on(&books)).await;
    house.charged("order-1", 1000).await;
    house.sandbox.stop().await;
    let whole = fs::read(&books).unwrap();
    fs::OpenOptions::new().append(true).open(&books).unwrap().write_all(b"1234abcd [{\"at\":").unwrap();
    let house = House::with(on(&books)).await;
    assert_eq!(house.balance("merchant").await, 1000);
    assert!(fs::read(&books).unwrap().starts_with(&whole));
    house.charged("order-2", 1000).await;
    house.sandbox.stop().await;
    assert_eq!(House::with(on(&books)).await.balance("merchant").await, 2000);
}

#[tokio::test]
async fn given_books_cut_anywhere_when_they_are_opened_then_what_was_whole_is_there_and_they_are_zero() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let house = House::with(on(&books)).await;
    let charge = house.charged("order-1", 1000).await;
    house.refund("refund-1", &charge, 100).await.expect(201);
    house.payout("payout-1", 300, "ba_failed").await.expect(201);
    house.settle().await;
    house.sandbox.stop().await;
    let whole = fs::read(&books).unwrap();
    assert!(whole.iter().filter(|byte| **byte == b'\n').count() > 5, "there is something to cut");
    let cut = folder.path().join("cut");
    for length in (0..whole.len()).step_by(61).chain([whole.len()]) {
        fs::write(&cut, &whole[..length]).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        let house = House::with(on(&cut)).await;
        let charges = house.client.get("/v1/charges").await.expect(200)["items"].as_array().unwrap().len();
        // The first line opens the books, the second is the charge.
        assert_eq!(charges, usize::from(lines >= 2), "cut after {length} bytes");
        house.advance(24 * 3600 * 1000).await;
        let balances = house.client.get("/v1/balances").await.expect(200);
        assert!(balances["currencies"].as_array().unwrap().iter().all(|currency| currency["sum"] == "0"));
        house.sandbox.stop().await;
    }
}

#[tokio::test]
async fn given_damaged_books_when_they_are_opened_then_the_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let house = House::with(on(&books)).await;
    house.charged("order-1", 1000).await;
    house.sandbox.stop().await;
    let text = fs::read_to_string(&books).unwrap();
    fs::write(&books, text.replacen("\"1000\"", "\"9000\"", 1)).unwrap();
    let refused = Sandbox::start(on(&books)).await.unwrap_err();
    assert!(matches!(refused, StartError::Books(JournalError::Damaged { line: 2, .. })), "{refused}");
}

#[tokio::test]
async fn given_books_that_are_open_when_another_process_opens_them_then_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let books = folder.path().join("books");
    let _house = House::with(on(&books)).await;
    let refused = Sandbox::start(on(&books)).await.unwrap_err();
    assert!(matches!(refused, StartError::Books(JournalError::InUse)), "{refused}");
}
