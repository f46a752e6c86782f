//! The adapter of the sandbox says what is sure about an order, and no more.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
};

use events::{
    Money, Timestamp,
    ids::{PaymentId, PayoutId},
};
use secrecy::SecretString;
use serde_json::json;
use workers::payments::{
    CurrencyBalance, Movement, Order, PaymentProvider, ProviderError, Reference, State,
    sandbox::{SandboxProvider, SandboxSettings},
};

use crate::support::{
    provider::{API_KEY, Bank, WEBHOOK_SECRET, reach, settings},
    until,
};

fn cedis(minor: i64) -> Money {
    Money::new(minor, "GHS".parse().unwrap())
}

fn charge(token: &str) -> Order {
    let (payment, token) = (PaymentId::fresh(), token.to_owned());
    Order::Charge { payment, attempt: 1, amount: cedis(1_050), token }
}

fn payout(minor: i64, token: &str) -> Order {
    let (payout, token) = (PayoutId::fresh(), token.to_owned());
    Order::Payout { payout, attempt: 1, amount: cedis(minor), token }
}

/// The state of an order once it is no longer under way.
async fn outcome(provider: &SandboxProvider, order: &Order) -> State {
    let reference = order.reference();
    until("it has an outcome", || async {
        provider.look_up(reference).await.unwrap().is_some_and(|found| found.state != State::UnderWay)
    })
    .await;
    provider.look_up(reference).await.unwrap().unwrap().state
}

#[tokio::test]
async fn an_order_is_done_once_however_often_it_is_sent_and_found_by_our_reference() {
    let bank = Bank::open().await;
    let (provider, order) = (bank.provider(), charge("pm_card"));
    assert_eq!(provider.look_up(order.reference()).await, Ok(None));
    let first = provider.order(&order).await.unwrap();
    assert_eq!((first.reference, first.amount), (order.reference(), cedis(1_050)));
    assert_eq!(outcome(&provider, &order).await, State::Done);
    let again = provider.order(&order).await.unwrap();
    assert_eq!((again.provider_id, again.state), (first.provider_id, State::Done));
    assert_eq!(bank.all("charges").await.len(), 1);
}

#[tokio::test]
async fn money_comes_goes_back_and_is_sent() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    let order = charge("pm_card");
    provider.order(&order).await.unwrap();
    assert_eq!(outcome(&provider, &order).await, State::Done);
    let Reference::Attempt { payment, attempt } = order.reference() else { panic!("a charge") };
    let refund = Order::Refund { payment, refund: 1, attempt, amount: cedis(50) };
    provider.order(&refund).await.unwrap();
    assert_eq!(outcome(&provider, &refund).await, State::Done);
    let paid = payout(400, "ba_account");
    provider.order(&paid).await.unwrap();
    assert_eq!(outcome(&provider, &paid).await, State::Done);
    let (from, to) = (Timestamp::from_micros(0), Timestamp::now().plus_millis(60_000));
    let books = provider.books(from, to, None).await.unwrap();
    let told: Vec<_> = books.entries.iter().map(|entry| (entry.movement, entry.ours().unwrap())).collect();
    let expected = [
        (Movement::ChargeSucceeded, order.reference()),
        (Movement::RefundCreated, refund.reference()),
        (Movement::RefundSucceeded, refund.reference()),
        (Movement::PayoutCreated, paid.reference()),
        (Movement::PayoutPaid, paid.reference()),
    ];
    assert_eq!((told.as_slice(), books.next), (expected.as_slice(), None));
    let balance = CurrencyBalance {
        currency: "GHS".parse().unwrap(),
        available_minor: 600,
        refunds_under_way_minor: 0,
        payouts_under_way_minor: 0,
    };
    assert_eq!(provider.balances().await.unwrap().currencies, [balance]);
}

#[tokio::test]
async fn the_books_come_in_pages() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    for _ in 0..201 {
        provider.order(&charge("pm_card")).await.unwrap();
    }
    until("all have succeeded", || async { bank.all("entries").await.len() == 201 }).await;
    let (from, to) = (Timestamp::from_micros(0), Timestamp::now().plus_millis(60_000));
    let first = provider.books(from, to, None).await.unwrap();
    assert_eq!(first.entries.len(), 200);
    let second = provider.books(from, to, first.next.as_deref()).await.unwrap();
    assert_eq!((second.entries.len(), second.next), (1, None));
    let nonsense = provider.books(from, to, Some("1&limit=1")).await;
    assert!(matches!(nonsense, Err(ProviderError::Unavailable(_))), "{nonsense:?}");
}

#[tokio::test]
async fn a_decline_is_an_outcome_and_a_refusal_is_none() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    let declined = provider.order(&charge("pm_declined_at_once")).await.unwrap();
    assert_eq!(declined.state, State::Failed { code: "card_declined".to_owned() });
    let refusals = [
        (charge("pm_nobody_knows"), "unknown_token"),
        (payout(1, "ba_account"), "balance_insufficient"),
        (
            Order::Refund { payment: PaymentId::fresh(), refund: 1, attempt: 1, amount: cedis(1) },
            "charge_not_found",
        ),
    ];
    for (order, expected) in refusals {
        match provider.order(&order).await {
            Err(ProviderError::Refused { code, .. }) => assert_eq!(code, expected),
            other => panic!("{expected}: {other:?}"),
        }
        assert_eq!(provider.look_up(order.reference()).await, Ok(None), "nothing was done");
    }
}

#[tokio::test]
async fn the_same_reference_for_something_else_is_refused() {
    let bank = Bank::open().await;
    let (provider, order) = (bank.provider(), charge("pm_card"));
    provider.order(&order).await.unwrap();
    let Order::Charge { payment, attempt, token, .. } = order else { panic!("a charge") };
    let more = Order::Charge { payment, attempt, amount: cedis(1_051), token };
    let refused = provider.order(&more).await;
    assert!(matches!(&refused, Err(ProviderError::Refused { code, .. }) if code == "reference_reused"));
}

#[tokio::test]
async fn without_an_answer_an_order_is_in_doubt_and_a_look_up_tells() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    for token in ["pm_timeout_after_success", "pm_error_after_success"] {
        let order = charge(token);
        let lost = provider.order(&order).await;
        assert!(matches!(lost, Err(ProviderError::InDoubt(_))), "{lost:?}");
        assert_eq!(outcome(&provider, &order).await, State::Done, "{token}: it was done");
    }
    let order = charge("pm_error");
    let lost = provider.order(&order).await;
    assert!(matches!(lost, Err(ProviderError::InDoubt(_))), "{lost:?}");
    assert_eq!(provider.look_up(order.reference()).await, Ok(None), "it was not done");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_leaves_the_order_in_doubt() {
    let bank = Bank::with(settings()).await;
    let (hasty, order) = (reach(bank.sandbox.address(), 20), charge("pm_slow"));
    let lost = hasty.order(&order).await;
    assert!(matches!(lost, Err(ProviderError::InDoubt(_))), "{lost:?}");
    assert_eq!(outcome(&bank.provider(), &order).await, State::Done);
}

#[tokio::test]
async fn a_provider_that_is_away_has_done_nothing() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    bank.fault("create_charge", json!("unavailable"), 1).await;
    let order = charge("pm_card");
    let away = provider.order(&order).await;
    assert!(matches!(away, Err(ProviderError::Unavailable(_))), "{away:?}");
    let nobody_there = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = reach(nobody_there, 1_000).order(&order).await;
    assert!(matches!(away, Err(ProviderError::Unavailable(_))), "{away:?}");
    assert_eq!(provider.look_up(order.reference()).await, Ok(None));
}

#[tokio::test]
async fn a_look_up_that_fails_never_says_that_an_order_did_not_arrive() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    for fault in ["unavailable", "internal_error", "disconnect"] {
        bank.fault("read", json!(fault), 1).await;
        let unknown = provider.look_up(charge("pm_card").reference()).await;
        assert!(matches!(unknown, Err(ProviderError::Unavailable(_))), "{fault}: {unknown:?}");
    }
    let stranger = reach(answering("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nlost"), 1_000);
    let unknown = stranger.look_up(charge("pm_card").reference()).await;
    assert!(matches!(unknown, Err(ProviderError::Unavailable(_))), "a 404 of whoever: {unknown:?}");
}

#[tokio::test]
async fn an_answer_without_a_code_or_about_something_else_leaves_the_order_in_doubt() {
    let answers = [
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 422 Unprocessable Entity\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}",
        "HTTP/1.1 201 Created\r\ncontent-length: 99\r\n\r\n{}",
    ];
    for answer in answers {
        let lost = reach(answering(answer), 1_000).order(&charge("pm_card")).await;
        assert!(matches!(lost, Err(ProviderError::InDoubt(_))), "{answer}: {lost:?}");
    }
}

/// A server that answers everything with these bytes.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn settings_that_make_no_sense_are_refused_and_secrets_are_not_printed() {
    let good = SandboxSettings {
        url: "http://127.0.0.1:8090".to_owned(),
        api_key: SecretString::from(API_KEY),
        webhook_secrets: vec![SecretString::from(WEBHOOK_SECRET)],
        timeout_ms: 1_000,
    };
    let short = || SecretString::from("short");
    let wrong = [
        SandboxSettings { url: "https://example.org".to_owned(), ..good.clone() },
        SandboxSettings { url: "http://127.0.0.1:8090/v1".to_owned(), ..good.clone() },
        SandboxSettings { api_key: short(), ..good.clone() },
        SandboxSettings { webhook_secrets: vec![short()], ..good.clone() },
        SandboxSettings { webhook_secrets: Vec::new(), ..good.clone() },
        SandboxSettings { timeout_ms: 0, ..good.clone() },
    ];
    for settings in wrong {
        assert!(SandboxProvider::new(settings.clone()).is_err(), "{settings:?}");
    }
    let printed = format!("{good:?} {:?}", SandboxProvider::new(good.clone()).unwrap());
    assert!(!printed.contains(API_KEY) && !printed.contains(WEBHOOK_SECRET), "{printed}");
}

#[tokio::test]
async fn the_sandboxs_clock_goes_where_it_is_told_and_never_back() {
    let bank = Bank::open().await;
    let provider = bank.provider();
    for (to, stands) in [(60_000, 60_000), (60_000, 60_000), (5_000, 60_000), (61_000, 61_000)] {
        provider.move_clock_to(to).await.unwrap();
        assert_eq!(bank.get("/control").await["clock_offset_ms"], stands);
    }
}
