//! A webhook is signed over timestamp and raw body, with each secret that stands.

use sandbox::{WebhookTarget, signature};
use secrecy::SecretString;
use serde_json::json;

use crate::harness::{House, SECRET};

const OTHER: &str = "whsec_fedcba9876543210fedcba9876543210";

const VECTOR_1_BODY: &str = r#"{"id":"evt_1","type":"charge.succeeded"}"#;
const VECTOR_1: &str = "e126c37ba028a6ec2e33b6d6bc05f66bb38839abeb963d136c62343e31d773cb";
const VECTOR_2: &str = "97a46a27129ff1a8587b4a1fcee77b2445944c384e4b2445f87c7bb2c7fa1ebd";
const VECTOR_3: &str = "b8cbcdaf9d3289bff51d8871aaee1b40ff0473429de655e4c8c4e007c0b1e4b8";

#[test]
fn given_a_known_message_when_it_is_signed_then_the_signature_is_that_of_other_implementations() {
    // Made with Python's hmac and checked with openssl dgst -sha256 -hmac.
    let vectors = [
        (SECRET, 1_700_000_000, VECTOR_1_BODY, VECTOR_1),
        (OTHER, 0, "", VECTOR_2),
        (SECRET, 1_700_000_000, "{\"ü\":\"\\n\"}", VECTOR_3),
    ];
    for (secret, timestamp_s, body, expected) in vectors {
        let header = signature::sign([secret.as_bytes()], timestamp_s, body.as_bytes());
        assert_eq!(header, format!("t={timestamp_s},v1={expected}"));
    }
}

#[test]
fn given_two_secrets_when_a_message_is_signed_then_there_is_a_signature_of_each() {
    let header = signature::sign([SECRET.as_bytes(), OTHER.as_bytes()], 0, b"");
    let parts: Vec<_> = header.split(',').collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[2], format!("v1={VECTOR_2}"));
}

#[tokio::test]
async fn given_a_webhook_when_it_arrives_then_only_its_own_bytes_and_secret_fit_its_signature() {
    let house = House::open().await;
    house.charged("order-1", 100).await;
    let letter = house.inbox.wait_for(1).await.remove(0);
    assert!(letter.is_signed_with(SECRET));
    assert!(!letter.is_signed_with(OTHER));
    let mut changed = letter.clone();
    changed.raw.push(b' ');
    assert!(!changed.is_signed_with(SECRET));
    let mut older = letter;
    older.signature = older.signature.replacen("t=1", "t=2", 1);
    assert!(!older.is_signed_with(SECRET));
}

#[tokio::test]
async fn given_a_clock_that_was_moved_when_a_webhook_arrives_then_its_timestamp_is_real() {
    let house = House::open().await;
    house.advance(30 * 24 * 3600 * 1000).await;
    house.charged("order-1", 100).await;
    let letter = house.inbox.wait_for(1).await.remove(0);
    let timestamp: i64 = letter.signature.split(',').next().unwrap()["t=".len()..].parse().unwrap();
    // What a receiver tolerates.
    assert!((jiff::Timestamp::now().as_second() - timestamp).abs() < 300);
}

#[tokio::test]
async fn given_a_rotation_when_both_secrets_stand_then_either_fits_and_afterwards_only_the_new_one() {
    let house = House::open().await;
    house.client.put("/control/webhook", json!({ "secrets": [OTHER, SECRET] })).await.expect(200);
    house.charged("order-1", 100).await;
    let letter = house.inbox.wait_for(1).await.remove(0);
    assert!(letter.is_signed_with(SECRET) && letter.is_signed_with(OTHER));
    house.client.put("/control/webhook", json!({ "secrets": [OTHER] })).await.expect(200);
    house.charged("order-2", 100).await;
    let letter = house.inbox.wait_for(2).await.remove(1);
    assert!(!letter.is_signed_with(SECRET) && letter.is_signed_with(OTHER));
}

#[test]
fn given_a_target_that_makes_no_sense_when_it_is_named_then_it_is_refused_with_a_sentence() {
    let secret = || SecretString::from(SECRET);
    assert!(WebhookTarget::new("http://127.0.0.1:8080/webhooks/sandbox", vec![secret()]).is_ok());
    let refused = [
        ("https://example.org/", vec![secret()], "TLS"),
        ("/webhooks", vec![secret()], "http://"),
        ("http://127.0.0.1/", vec![], "1 to 2"),
        ("http://127.0.0.1/", vec![secret(), secret(), secret()], "1 to 2"),
        ("http://127.0.0.1/", vec![SecretString::from("short")], "32 bytes"),
    ];
    for (url, secrets, said) in refused {
        let reason = WebhookTarget::new(url, secrets).unwrap_err();
        assert!(reason.contains(said), "{reason}");
    }
}
