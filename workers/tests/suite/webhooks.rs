//! A forged, old, truncated or foreign webhook is refused and says why; one of the provider's own is read.

use events::{
    Id, Money, Timestamp,
    ids::{PaymentId, PayoutId},
    vocabulary::payments::Notice,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;
use workers::payments::{
    PaymentProvider, Reference, VerifiedWebhook, WebhookRefusal,
    sandbox::{SandboxProvider, SandboxSettings},
};

use crate::support::provider::{API_KEY, WEBHOOK_SECRET};

const OTHER_SECRET: &str = "whsec_fedcba9876543210fedcba9876543210";
/// When the webhooks here are signed.
const NOW_S: i64 = 1_700_000_000;

fn knowing(secrets: &[&str]) -> SandboxProvider {
    SandboxProvider::new(SandboxSettings {
        url: "http://127.0.0.1:9".to_owned(),
        api_key: SecretString::from(API_KEY),
        webhook_secrets: secrets.iter().map(|secret| SecretString::from(*secret)).collect(),
        timeout_ms: 1_000,
    })
    .unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn sign(secrets: &[&str], body: &[u8]) -> String {
    sandbox::signature::sign(secrets.iter().map(|secret| secret.as_bytes()), NOW_S, body)
}

fn read(signature: &str, body: &[u8], now_s: i64) -> Result<VerifiedWebhook, WebhookRefusal> {
    knowing(&[WEBHOOK_SECRET]).read_webhook(Some(signature), body, at(now_s))
}

fn payment() -> PaymentId {
    PaymentId::from_uuid(Uuid::from_u128(7))
}

fn charge(status: &str, reference: &str) -> Vec<u8> {
    let amount = json!({ "amount": "1050", "currency": "GHS" });
    let data = json!({
        "id": "ch_1", "reference": reference, "amount": amount, "method": "pm_card", "capture": "automatic",
        "status": status, "failure": { "code": "card_declined", "message": "No." },
    });
    event(&format!("charge.{status}"), data)
}

fn event(kind: &str, data: Value) -> Vec<u8> {
    let event =
        json!({ "id": "evt_1", "type": kind, "created_at": "2026-11-21T00:00:00.000Z", "data": data });
    event.to_string().into_bytes()
}

fn confirmed() -> Vec<u8> {
    charge("succeeded", &Reference::Attempt { payment: payment(), attempt: 2 }.to_string())
}

fn notice(body: &[u8]) -> Notice {
    read(&sign(&[WEBHOOK_SECRET], body), body, NOW_S).unwrap().notice
}

#[test]
fn a_webhook_that_the_provider_signed_just_now_is_read() {
    let body = confirmed();
    let webhook = read(&sign(&[WEBHOOK_SECRET], &body), &body, NOW_S + 300).unwrap();
    assert_eq!(webhook.provider_event, "evt_1");
    assert_eq!(webhook.body.as_bytes(), body);
    let (amount, reference) = (Money::new(1050, "GHS".parse().unwrap()), "ch_1".to_owned());
    let confirmed = Notice::PaymentConfirmed { payment: payment(), attempt: 2, reference, amount };
    assert_eq!(webhook.notice, confirmed);
    assert!(!format!("{webhook:?}").contains("pm_card"), "the body is not for logs");
}

#[test]
fn the_example_of_the_readme_verifies() {
    let body = br#"{"id":"evt_1","type":"charge.succeeded"}"#;
    let header = "t=1700000000,v1=e126c37ba028a6ec2e33b6d6bc05f66bb38839abeb963d136c62343e31d773cb";
    assert_eq!(
        read(header, body, NOW_S).unwrap_err(),
        WebhookRefusal::UnknownShape,
        "only its data are missing"
    );
}

#[test]
fn an_unsigned_or_forged_or_changed_webhook_is_refused() {
    let body = confirmed();
    let unsigned = knowing(&[WEBHOOK_SECRET]).read_webhook(None, &body, at(NOW_S));
    assert_eq!(unsigned, Err(WebhookRefusal::SignatureMissing));
    let forged = sign(&[OTHER_SECRET], &body);
    assert_eq!(read(&forged, &body, NOW_S), Err(WebhookRefusal::SignatureWrong));
    let genuine = sign(&[WEBHOOK_SECRET], &body);
    let more = String::from_utf8(body.clone()).unwrap().replace("1050", "9950");
    assert_eq!(read(&genuine, more.as_bytes(), NOW_S), Err(WebhookRefusal::SignatureWrong));
    assert_eq!(read(&genuine, &body[..body.len() - 1], NOW_S), Err(WebhookRefusal::SignatureWrong));
    assert_eq!(read(&genuine, b"", NOW_S), Err(WebhookRefusal::SignatureWrong));
    let later = genuine.replace("t=1700000000", "t=1700000001");
    assert_eq!(read(&later, &body, NOW_S), Err(WebhookRefusal::SignatureWrong), "the time is signed too");
    let truncated = &genuine[..genuine.len() - 2];
    assert_eq!(read(truncated, &body, NOW_S), Err(WebhookRefusal::SignatureWrong));
}

#[test]
fn a_webhook_signed_long_ago_or_in_the_future_is_refused() {
    let body = confirmed();
    let genuine = sign(&[WEBHOOK_SECRET], &body);
    assert_eq!(read(&genuine, &body, NOW_S + 301), Err(WebhookRefusal::TooOld));
    assert_eq!(read(&genuine, &body, NOW_S - 301), Err(WebhookRefusal::TooNew));
    assert!(read(&genuine, &body, NOW_S - 300).is_ok());
    let forged = sign(&[OTHER_SECRET], &body);
    assert_eq!(
        read(&forged, &body, NOW_S + 301),
        Err(WebhookRefusal::SignatureWrong),
        "a time that nobody signed says nothing"
    );
}

#[test]
fn a_signature_that_cannot_be_read_is_refused() {
    let body = confirmed();
    let genuine = sign(&[WEBHOOK_SECRET], &body);
    let digits = genuine.split("v1=").nth(1).unwrap();
    let five = format!("t={NOW_S}{}", format!(",v1={digits}").repeat(5));
    let wrong = [
        String::new(),
        "nonsense".to_owned(),
        format!("t={NOW_S}"),
        format!("v1={digits}"),
        format!("t=now,v1={digits}"),
        format!("t={NOW_S},t={NOW_S},v1={digits}"),
        format!("t={NOW_S},v1={}", digits.to_uppercase()),
        format!("t={NOW_S},v1=xyz"),
        format!("t={}9999,v1={digits}", i64::MAX),
        format!("t={},v1={digits}", i64::MAX),
        five,
        format!("{genuine}{}", ",v0=1".repeat(300)),
    ];
    for header in wrong {
        assert_eq!(read(&header, &body, NOW_S), Err(WebhookRefusal::SignatureMalformed), "{header}");
    }
    assert!(
        read(&format!("{genuine},v2=abc"), &body, NOW_S).is_ok(),
        "ways of signing to come are passed over"
    );
}

#[test]
fn during_a_rotation_either_secret_fits() {
    let body = confirmed();
    let both = sign(&[OTHER_SECRET, WEBHOOK_SECRET], &body);
    assert!(read(&both, &body, NOW_S).is_ok(), "we know the old one, and two sign");
    for secret in [WEBHOOK_SECRET, OTHER_SECRET] {
        let one = sign(&[secret], &body);
        let knows_both = knowing(&[WEBHOOK_SECRET, OTHER_SECRET]);
        assert!(knows_both.read_webhook(Some(&one), &body, at(NOW_S)).is_ok());
    }
}

#[test]
fn a_body_that_is_not_the_providers_is_refused_though_signed() {
    let large = vec![b' '; 64 * 1024 + 1];
    let unknown = event("charge.succeeded", json!({ "id": "ch_1" }));
    let reference = Reference::Attempt { payment: payment(), attempt: 1 }.to_string();
    let wrong = [
        (large, WebhookRefusal::TooLarge),
        (b"charge=1".to_vec(), WebhookRefusal::NotJson),
        (vec![0xff, 0xfe], WebhookRefusal::NotJson),
        (b"[]".to_vec(), WebhookRefusal::UnknownShape),
        (unknown, WebhookRefusal::UnknownShape),
        (charge("melted", &reference), WebhookRefusal::UnknownShape),
    ];
    for (body, refusal) in wrong {
        let signature = sign(&[WEBHOOK_SECRET], &body);
        assert_eq!(read(&signature, &body, NOW_S), Err(refusal));
    }
}

#[test]
fn every_outcome_of_our_orders_becomes_the_notice_of_it() {
    let (payment, attempt) = (payment(), 1);
    let ours = Reference::Attempt { payment, attempt }.to_string();
    let failed = |code: &str| Notice::PaymentFailed { payment, attempt, code: code.to_owned() };
    assert_eq!(notice(&charge("failed", &ours)), failed("card_declined"));
    assert_eq!(notice(&charge("cancelled", &ours)), failed("cancelled"));
    assert_eq!(notice(&charge("requires_action", &ours)), Notice::PaymentActionRequired { payment, attempt });
    assert_eq!(notice(&charge("authorized", &ours)), Notice::PaymentAuthorized { payment, attempt });
    let order = |reference: Reference, status: &str| {
        json!({
            "id": "x_1", "reference": reference.to_string(), "status": status,
            "amount": { "amount": "5", "currency": "JPY" }, "failure": { "code": "account_closed" },
        })
    };
    let refund = Reference::Refund { payment, refund: 3 };
    let refunded = event("refund.succeeded", order(refund, "succeeded"));
    assert_eq!(notice(&refunded), Notice::RefundPaid { payment, refund: 3 });
    let (failed, code) = (event("refund.failed", order(refund, "failed")), "account_closed".to_owned());
    assert_eq!(notice(&failed), Notice::RefundFailed { payment, refund: 3, code });
    let payout = PayoutId::from_uuid(Uuid::from_u128(9));
    let told = |status: &str| {
        notice(&event(&format!("payout.{status}"), order(Reference::Payout { payout, attempt }, status)))
    };
    assert_eq!(told("paid"), Notice::PayoutPaid { payout, attempt, reference: "x_1".to_owned() });
    let code = "account_closed".to_owned();
    assert_eq!(told("failed"), Notice::PayoutFailed { payout, attempt, code: code.clone() });
    assert_eq!(told("returned"), Notice::PayoutReturned { payout, attempt, code });
}

#[test]
fn what_is_not_about_our_orders_concerns_nobody() {
    let payout = Reference::Payout { payout: PayoutId::from_uuid(Uuid::from_u128(9)), attempt: 1 };
    let strangers = [
        (charge("succeeded", "payment-1"), "charge.succeeded"),
        (charge("succeeded", &payout.to_string()), "charge.succeeded"),
        (event("balance.low", json!({})), "balance.low"),
    ];
    for (body, name) in strangers {
        assert_eq!(notice(&body), Notice::Other { name: name.to_owned() });
    }
    let long = notice(&event(&"x".repeat(5_000), json!(null)));
    assert_eq!(long, Notice::Other { name: "x".repeat(100) }, "what we keep is bounded");
}
