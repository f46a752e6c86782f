//! `docs/money.md` shows the journal entry of every event, as the ledger enters it.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use events::{Category, Event, Position, stream::Partition, vocabulary::EventSchema};
use projections::money::journal::{JournalEntry, LedgerAccount, Side, TransferMove, entry_of};
use schemars::generate::SchemaSettings;
use schemas::{folder, golden::samples};
use serde_json::Value;

const BEGIN: &str =
    "<!-- The journal: written from the code by `UPDATE=1 cargo test -p schemas money_page`. -->\n";
const END: &str = "<!-- The end of the journal. -->\n";

/// The aggregates that move money, in the order in which it passes through them.
const MOVERS: [Category; 4] = [Category::Payment, Category::Escrow, Category::Wallet, Category::Payout];

/// The golden sample of every event of the payments service, by name.
fn payloads() -> BTreeMap<String, Event> {
    let samples = samples(&folder()).expect("the samples are readable");
    let of_payments = samples.iter().filter(|sample| sample.path.starts_with("payments/"));
    let decoded = of_payments.map(|sample| {
        let event = sample.event().expect("an event");
        let partition = Partition { service: event.subject.category.service(), number: 0 };
        let event = event.decode(Position { partition, offset: 0 }).expect("a sample decodes");
        (event.payload.name().to_owned(), event.payload)
    });
    decoded.collect()
}

/// Every event of the payments service, with the first sentence of its description.
fn described() -> Vec<(EventSchema, String)> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let events = Event::all_schemas(&mut generator);
    let definitions = generator.take_definitions(true);
    let description = |event: &EventSchema| {
        let schema = event.schema.as_value();
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/$defs/"));
        let schema = name.and_then(|name| definitions.get(name)).unwrap_or(schema);
        let text = schema["description"].as_str().expect("every event is described").replace('\n', " ");
        text.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
    };
    let of_payments =
        events.into_iter().filter(|event| event.category.service() == Category::Payment.service());
    of_payments.map(|event| (description(&event), event)).map(|(text, event)| (event, text)).collect()
}

fn lines(entry: &JournalEntry, side: Side) -> String {
    let postings = entry.postings.iter().filter(|posting| posting.side == side);
    let lines: Vec<String> =
        postings.map(|posting| format!("{} {}", posting.account.name(), posting.amount)).collect();
    lines.join("<br>")
}

fn transfer(entry: &JournalEntry) -> &'static str {
    match entry.transfer {
        None => "",
        Some(TransferMove::Opens { amount, .. }) if amount.minor() < 0 => "opens, owed",
        Some(TransferMove::Opens { .. }) => "opens",
        Some(TransferMove::Takes { amount, .. }) if amount.minor() < 0 => "ends, no longer owed",
        Some(TransferMove::Takes { .. }) => "ends",
    }
}

fn expected() -> String {
    let (payloads, mut text) = (payloads(), String::from(BEGIN));
    let events = described();
    for category in MOVERS {
        let _ = writeln!(
            text,
            "\n### {category}\n\n| event | | debit | credit | transfer |\n| --- | --- | --- | --- | --- |"
        );
        let mut silent = Vec::new();
        for (event, meaning) in events.iter().filter(|(event, _)| event.category == category) {
            let entry = entry_of(&payloads[event.name]).expect("a sample balances");
            let Some(entry) = entry else {
                silent.push(format!("`{}`", event.name));
                continue;
            };
            let (debit, credit) = (lines(&entry, Side::Debit), lines(&entry, Side::Credit));
            let _ = writeln!(
                text,
                "| `{}` | {meaning} | {debit} | {credit} | {} |",
                event.name,
                transfer(&entry)
            );
        }
        let _ = writeln!(text, "\nNo money is moved by {}.", silent.join(", "));
    }
    text.push('\n');
    text.push_str(END);
    text
}

#[test]
fn the_page_about_money_shows_the_entries_that_the_ledger_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/money.md");
    let page = fs::read_to_string(&path).expect("docs/money.md is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the journal");
    let (_, after) = rest.split_once(END).expect("the page has an end of the journal");
    let current = format!("{before}{}{after}", expected());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).expect("written");
        return;
    }
    assert_eq!(page, current, "write it anew with UPDATE=1");
}

#[test]
fn the_page_about_money_knows_every_account() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/money.md");
    let page = fs::read_to_string(&path).expect("docs/money.md is there");
    for account in LedgerAccount::ALL {
        let (name, side) = (account.name(), if account.is_asset() { "debit" } else { "credit" });
        let row = page.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("there is no row of {name}"));
        assert!(row.contains(&format!("| {side} |")), "{row}");
    }
}

#[test]
fn nothing_but_payments_escrows_wallets_and_payouts_moves_money() {
    for (name, event) in payloads() {
        if !MOVERS.contains(&event.category()) {
            assert_eq!(entry_of(&event), Ok(None), "{name}");
        }
    }
}
