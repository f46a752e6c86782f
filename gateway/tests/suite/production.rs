//! Production refuses what is known to everybody, and has no other time than the machine's.

use gateway::{
    house::Server,
    settings::{Layers, Origin},
};
use serde_json::json;

use crate::harness::{Guild, layers};

fn secure(layers: &mut Layers) {
    for (key, value) in [
        ("profile", "production"),
        ("payments.provider", "none"),
        ("auth.token_secret", "a secret of one's own, long enough for HS256"),
        ("secrets.link_secret", "another secret of one's own, as long as the first"),
        ("secrets.master_key", "5ec2e700000000000000000000000000000000000000000000000000000000ff"),
    ] {
        layers.set(key, value, Origin::Given).unwrap();
    }
}

#[test]
fn default_and_short_secrets_are_refused() {
    let refused = |change: &dyn Fn(&mut Layers)| {
        let mut layers = Layers::defaults();
        secure(&mut layers);
        assert!(layers.settings().is_ok());
        change(&mut layers);
        layers.settings().unwrap_err().to_string()
    };
    let defaults = Layers::defaults().settings().unwrap();
    let known = secrecy::ExposeSecret::expose_secret(&defaults.auth.token_secret).to_owned();
    for (key, value) in [
        ("auth.token_secret", known.as_str()),
        ("auth.token_secret", "short"),
        ("secrets.link_secret", "short"),
        ("secrets.master_key", "not hexadecimal"),
    ] {
        let told = refused(&|layers| layers.set(key, value, Origin::Given).unwrap());
        assert!(told.contains(key) && !told.contains(value), "{told}");
    }
    let mut untouched = Layers::defaults();
    untouched.set("profile", "production", Origin::Given).unwrap();
    untouched.set("payments.provider", "none", Origin::Given).unwrap();
    assert!(untouched.settings().unwrap_err().to_string().contains("production needs its own"));
}

#[test]
fn the_sandbox_is_refused() {
    let mut layers = Layers::defaults();
    secure(&mut layers);
    layers.set("payments.provider", "sandbox", Origin::Given).unwrap();
    let told = layers.settings().unwrap_err().to_string();
    assert!(told.contains("`payments.provider`") && told.contains("no real money"), "{told}");
}

#[tokio::test]
async fn there_is_no_test_clock() {
    let guild = Guild::start_with(secure).await;
    guild.post("/ops/test-clock").json(&json!({ "advance": "7d" })).send().await.problem(404, "not_found");
}

#[tokio::test]
async fn a_log_whose_clock_was_moved_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(layers(&folder).settings().unwrap()).await.unwrap();
    let client = crate::harness::Client::new(server.address());
    let moved = client.call("POST", "/ops/test-clock").json(&json!({ "advance_ms": 5 })).send().await;
    assert_eq!(moved.expect(http::StatusCode::OK).body["offset_ms"], 5);
    server.stop().await;
    let mut layers = layers(&folder);
    secure(&mut layers);
    let default = Layers::defaults().settings().unwrap();
    let master = secrecy::ExposeSecret::expose_secret(&default.secrets.master_key).to_owned();
    let mut settings = layers.settings().unwrap();
    settings.secrets.master_key = master.into();
    let refused = Server::start(settings).await.unwrap_err().to_string();
    assert!(refused.contains("development log"), "{refused}");
}
