//! The demo runs unchanged against several processes: two gateways, two workers that do the same work, and a payment provider
//! beside them.

use std::process::{Command, Stdio};

use gateway::settings::{Layers, PaymentSettings};
use sandbox::{Sandbox, WebhookTarget};

use crate::{
    TURN,
    process::{Process, Setup},
    stack::{brokers, fresh_databases, fresh_prefix, mongodb},
};

/// Runs the demo to its end; what it told.
async fn demo(arguments: Vec<String>) -> String {
    let told = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guildhall"));
        command.arg("demo").args(arguments).stdin(Stdio::null()).output().unwrap()
    });
    let output = told.await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// What every process shares with the provider, as long as nobody says otherwise.
fn shared_with_the_provider() -> PaymentSettings {
    Layers::defaults().settings().unwrap().payments
}

/// A sandbox provider of the test's own. It has nobody to tell anything yet.
async fn bank() -> Sandbox {
    Sandbox::start(sandbox::Settings::new(shared_with_the_provider().api_key)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn the_demo_tells_its_story_to_two_gateways_and_two_workers_on_kafka() {
    let _turn = TURN.lock().await;
    let (brokers, prefix) = (brokers(), fresh_prefix());
    let folder = tempfile::tempdir().unwrap();
    let bank = bank().await;
    let provider = format!("http://{}", bank.address());
    let start = async |name: &str, role: &[&'static str]| {
        let setup = Setup::on_kafka(folder.path().join(name), role, &brokers, &prefix);
        let setup = setup.with("PAYMENTS__PROVIDER", "sandbox").with("PAYMENTS__URL", &provider);
        let process = setup.start().await;
        process.ready().await;
        process
    };
    let gateways = [start("one", &["gateway"]).await, start("two", &["gateway"]).await];
    let webhooks = format!("{}/webhooks/sandbox", gateways[1].base());
    bank.deliver_to(WebhookTarget::new(&webhooks, shared_with_the_provider().webhook_secrets).unwrap());
    // Both hear of every job and every payment; only one of them of accounts.
    let workers =
        [start("all", &["worker"]).await, start("some", &["worker", "--only", "jobs,payments"]).await];
    let servers: Vec<String> =
        gateways.iter().flat_map(|gateway| ["--server".to_owned(), gateway.base()]).collect();
    let told = demo(servers.clone()).await;
    assert!(told.contains("all as expected") && told.contains("The trial balance of GHS"), "{told}");
    demo([servers, vec!["--scale".into(), "12".into()]].concat()).await;
    // The command line works beside them, in a folder of its own, once it knows what they have written.
    let arguments = ["user", "create", "--role", "admin", "--email", "root@example.com", "--password-stdin"];
    let beside = Setup::on_kafka(folder.path().join("beside"), &[], &brokers, &prefix);
    let made = beside.run_with(&arguments, "correct horse battery staple\n");
    assert!(made.starts_with("acc_"), "{made}");
    let from_worker = workers[0].client().call("GET", "/api/v1/jobs").send().await;
    from_worker.problem(404, "not_found");
    gateways.into_iter().chain(workers).for_each(Process::stop);
    bank.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn gateways_and_a_worker_share_their_read_models_in_mongodb() {
    let _turn = TURN.lock().await;
    let (brokers, prefix) = (brokers(), fresh_prefix());
    let (url, databases) = (mongodb(), fresh_databases());
    let folder = tempfile::tempdir().unwrap();
    let bank = bank().await;
    let provider = format!("http://{}", bank.address());
    let start = async |name: &str, role: &[&'static str]| {
        let setup = Setup::on_kafka(folder.path().join(name), role, &brokers, &prefix);
        let setup = setup.with("PAYMENTS__PROVIDER", "sandbox").with("PAYMENTS__URL", &provider);
        let process = setup.on_mongodb(&url, &databases).start().await;
        process.ready().await;
        process
    };
    let worker = start("work", &["worker"]).await;
    let gateways = [start("one", &["gateway"]).await, start("two", &["gateway"]).await];
    let webhooks = format!("{}/webhooks/sandbox", gateways[1].base());
    bank.deliver_to(WebhookTarget::new(&webhooks, shared_with_the_provider().webhook_secrets).unwrap());
    let servers: Vec<String> =
        gateways.iter().flat_map(|gateway| ["--server".to_owned(), gateway.base()]).collect();
    let told = demo(servers.clone()).await;
    assert!(told.contains("all as expected") && told.contains("The trial balance of GHS"), "{told}");
    demo([servers, vec!["--scale".into(), "6".into()]].concat()).await;
    // Nobody has kept read models in its folder.
    for name in ["work", "one", "two"] {
        assert!(!folder.path().join(name).join("read.db").exists(), "{name}");
    }
    gateways.into_iter().chain([worker]).for_each(Process::stop);
    bank.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stack"]
async fn the_demo_that_hosts_itself_takes_the_stacks_kafka_and_says_so() {
    let _turn = TURN.lock().await;
    let brokers = brokers();
    let told = demo(vec!["--self-hosted".into()]).await;
    let first = told.lines().next().unwrap();
    assert!(first.contains(&format!("kafka://{brokers}")), "{first}");
    assert!(told.contains("all as expected"), "{told}");
}
